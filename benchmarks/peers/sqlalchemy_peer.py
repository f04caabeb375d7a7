"""SQLAlchemy's ORM on SQLite, as its documentation advises."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship

from benchmarks.peers.workload import OWNERS_SHARE, Peer, fields, key


class Base(DeclarativeBase):
    pass


class Dog(Base):
    __tablename__ = "dog"
    id: Mapped[bytes] = mapped_column(sa.LargeBinary(12), primary_key=True)
    name: Mapped[str]
    age: Mapped[int]
    weight: Mapped[float]
    born: Mapped[int]


class Owner(Base):
    __tablename__ = "owner"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int]


class Pet(Base):
    __tablename__ = "pet"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(sa.ForeignKey("owner.id"))
    owner: Mapped[Owner] = relationship()


class LocalPeer(Peer):
    notes = "WAL, synchronous=FULL; a new Session for each step; links are joined"

    @staticmethod
    def import_statement() -> str:
        return "import sqlalchemy.orm, sqlalchemy.dialects.sqlite"

    def version(self) -> str:
        return sa.__version__

    def open(self) -> None:
        self.engine = sa.create_engine(f"sqlite:///{self.folder / 'dogs.db'}")

        @event.listens_for(self.engine, "connect")
        def _(connection: Any, record: Any) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")

        Base.metadata.create_all(self.engine)
        self.session = Session(self.engine)

    def fresh(self) -> None:
        self.session.close()
        self.session = Session(self.engine)

    def create(self, count: int) -> None:
        dogs = []
        for i in range(count):
            name, age, weight, born = fields(i)
            dogs.append(Dog(id=key(i), name=name, age=age, weight=weight, born=born))
        self.session.add_all(dogs)
        self.session.commit()

    def create_owners(self, count: int) -> None:
        owners = count // OWNERS_SHARE
        self.session.execute(sa.insert(Owner), [{"id": i, "number": i % 7} for i in range(owners)])
        self.session.execute(sa.insert(Pet), [{"id": i, "owner_id": i % owners} for i in range(count)])
        self.session.commit()

    def iterate(self) -> int:
        return sum(dog.age for dog in self.session.scalars(sa.select(Dog)))

    def get_all(self, keys: list[Any], order: list[int]) -> int:
        get, total = self.session.get, 0
        for one in keys:
            total += get(Dog, one).age
        return total

    def count_older(self, age: int) -> int:
        return self.session.scalar(sa.select(sa.func.count()).select_from(Dog).where(Dog.age > age))

    def contains(self, text: str) -> int:
        return len(self.session.scalars(sa.select(Dog).where(Dog.name.contains(text))).all())

    def first_by_name(self, count: int) -> list[str]:
        return [dog.name for dog in self.session.scalars(sa.select(Dog).order_by(Dog.name).limit(count))]

    def update_all(self) -> None:
        for dog in self.session.scalars(sa.select(Dog)):
            dog.age += 1
        self.session.commit()

    def commit_one(self, key: Any, place: int, age: int) -> None:
        self.session.get(Dog, key).age = age + 1000
        self.session.commit()

    def aggregate(self) -> tuple[int, float]:
        scalar = self.session.scalar
        return scalar(sa.select(sa.func.sum(Dog.age))), scalar(sa.select(sa.func.avg(Dog.age)))

    def follow(self) -> int:
        return sum(pet.owner.number for pet in self.session.scalars(sa.select(Pet).options(joinedload(Pet.owner))))

    def close(self) -> None:
        self.session.close()
        self.engine.dispose()
