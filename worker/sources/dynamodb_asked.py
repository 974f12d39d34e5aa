"""What a job asks of a DynamoDB table, as the arguments of the requests that answer it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.dynamo import attributes_in, expressions


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A Scan or a Query in DynamoDB's expressions and Python's values; `how` holds its other arguments."""

    table: str
    index: str | None
    key_condition: str | None = None
    filter: str | None
    values: Mapping[str, Any]
    names: Mapping[str, str]
    projection: Sequence[str]
    how: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pages(())  # what is said wrongly is heard of where it is said

    @property
    def operation(self) -> str:
        """Name the operation that reads page by page."""
        return "scan" if self.key_condition is None else "query"

    def pages(self, key: Sequence[str]) -> dict[str, Any]:
        """Give the arguments of that operation; its items have at least the attributes of the key."""
        index = {} if self.index is None else {"IndexName": self.index}
        return {"TableName": self.table, **index, **self.how} | self._expressions(key, self.key_condition)

    def one(self, own: Mapping[str, Any], key: Sequence[str]) -> dict[str, Any]:
        """Give the arguments of the Query that reads one item by the table's own key, if the filter lets it through."""
        condition = " AND ".join(f"#own{n} = :own{n}" for n in range(len(own)))
        names = {f"#own{n}": name for n, name in enumerate(own)}
        values = {f":own{n}": value for n, value in enumerate(own.values())}
        return {"TableName": self.table, "ConsistentRead": True} | self._expressions(key, condition, names, values)

    def batch(self, key: Sequence[str]) -> dict[str, Any]:
        """Give what BatchGetItem is told beside the keys."""
        wanted = self._wanted(key)
        return {"ConsistentRead": True} | expressions(wanted, {}, ProjectionExpression=", ".join(wanted))

    def filters_by(self, own: Sequence[str]) -> bool:
        """Tell whether the filter names an attribute of the table's own key."""
        return self.filter is not None and not attributes_in(self.filter, self.names).isdisjoint(own)

    def _expressions(
        self,
        key: Sequence[str],
        condition: str | None,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        wanted = self._wanted(key)
        return expressions(
            {**self.names, **wanted, **(names or {})},
            {**self.values, **(values or {})},
            KeyConditionExpression=condition,
            FilterExpression=self.filter,
            ProjectionExpression=", ".join(wanted),
        )

    def _wanted(self, key: Sequence[str]) -> dict[str, str]:
        """Give the attributes to be read, by the names that the projection has for them; none where all are."""
        wanted = dict.fromkeys((*self.projection, *key)) if self.projection else ()
        return {f"#part{n}": name for n, name in enumerate(wanted)}
