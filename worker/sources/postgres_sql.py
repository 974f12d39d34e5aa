"""The SQL that asks a job's SELECT for a page, for a count, for the rows with some keys, for a part of it."""

from collections.abc import Sequence

from worker.source import Key

_LONGEST_LINE = 80


class Statements:
    """The job's SELECT, wrapped for each of the questions."""

    def __init__(self, sql: str, arguments: int, columns: Sequence[str], descending: bool) -> None:
        self._sql, self._arguments, self.columns, self._descending = sql, arguments, columns, descending
        self._types: Sequence[str] = ()
        self.order = ", ".join(f"{quoted(name)}{' DESC' if descending else ''}" for name in columns)
        self.names = names = ", ".join(map(quoted, columns))
        beyond = self._compared("<" if descending else ">", arguments)
        self.rows = rows = f"(\n{sql}\n) AS source"
        limit = arguments + len(columns) + 1
        self._before = len("SELECT * FROM (\n")
        self.all, self.all_next = f"SELECT * FROM {rows}", f"SELECT * FROM {rows} WHERE {beyond}"
        self.first = f"{self.all} ORDER BY {self.order} LIMIT ${arguments + 1}"
        self.next = f"{self.all_next} ORDER BY {self.order} LIMIT ${limit}"
        nulls = " OR ".join(f"{quoted(name)} IS NULL" for name in columns)
        self.nulls = f"SELECT EXISTS (SELECT FROM {rows} WHERE {nulls})"
        self.count = f"SELECT count(*) FROM {rows}"
        self.count_next = f"SELECT count(*) FROM {rows} WHERE {beyond}"
        self.at_places = (
            f"SELECT {names} FROM (SELECT {names}, row_number() OVER (ORDER BY {self.order}) AS place FROM {rows}) AS placed "
            f"WHERE place = ANY (${arguments + 1}::bigint[]) ORDER BY place"
        )
        self.by_key = ""

    def learn(self, types: Sequence[str]) -> None:
        """Complete what needs the key columns' types."""
        self._types = types
        arrays = ", ".join(f"${self._arguments + number}::{name}[]" for number, name in enumerate(types, 1))
        self.by_key = f"SELECT * FROM {self.rows} WHERE ({self.names}) IN (SELECT * FROM unnest({arrays}))"

    def at(self, position: str | None) -> str:
        """Give the rest of the line of the job's SELECT where PostgreSQL found a fault; empty where it names no place in it."""
        place = int(position or 0) - 1 - self._before
        line = self._sql[place:].partition("\n")[0].strip() if place >= 0 else ""
        return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"

    def within(self, after: Key | None, until: Key | None, *, nothing: bool) -> "Statements":
        """Give the same for the rows after a key, up to and with another, whose values become arguments behind the job's."""
        count, conditions = self._arguments, ["false"] if nothing else []
        beyond, upto = ("<", ">=") if self._descending else (">", "<=")
        for key, how in ((after, beyond), (until, upto)):
            if key is not None:
                conditions.append(self._compared(how, count))
                count += len(key)
        sql = f"SELECT * FROM {self.rows} WHERE {' AND '.join(conditions)}" if conditions else self._sql
        narrowed = Statements(sql, count, self.columns, self._descending)
        narrowed.learn(self._types)
        return narrowed

    def _compared(self, how: str, arguments: int) -> str:
        marks = ", ".join(f"${arguments + number}" for number in range(1, len(self.columns) + 1))
        return f"({self.names}) {how} ({marks})"


def quoted(name: str) -> str:
    """Quote a column's name."""
    return '"' + name.replace('"', '""') + '"'
