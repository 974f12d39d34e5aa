"""What many tests share: real PostgreSQL servers, and a fresh database on one for each test that asks."""

import asyncio
import os
from collections.abc import AsyncIterator, Generator, Iterator

import asyncpg
import pytest
import pytest_asyncio
from aws import Aws, local_aws
from dynalite import dynalite
from function_server import Functions, functions
from local_ecs import LocalEcs, local_ecs
from local_stack import SYSTEM
from shell import forget
from store_worlds import StoreWorld, dynamodb_world, postgres_world

from worker.database import Link
from worker.local.postgres import Postgres
from worker.store.migrate import migrate

forget(os.environ)

pytest_plugins = ["worker.testing.plugin"]

# looptime asks for the current event loop before each test, and Python 3.11 would make one, which nobody closes, if the first
# test of a session is not async.
asyncio.set_event_loop(None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let what a test has logged be sent to another process: pytest-xdist dies of half a surrogate pair."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


_LONG = "jobs_local orders pipeline deploy kill_anywhere sharing shards_command function_package deliver_webhooks documents whole_path new"
"""Files of tests that take longest, by their names: begun last, one of them would go on alone while the other processes have nothing to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest files be begun first."""
    names = [f"test_{name}" for name in _LONG.split()]
    items.sort(key=lambda item: names.index(item.path.stem) if item.path.stem in names else len(names))


_EMPTY = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
    DROP SCHEMA IF EXISTS worker CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public;
    GRANT USAGE ON SCHEMA public TO PUBLIC"""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_server() -> AsyncIterator[Postgres]:
    """Give the session's server; it is not bound to an event loop. A test that stops or crashes it starts its own instead."""
    async with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def aws_server() -> Iterator[Aws]:
    """Give the session's local AWS."""
    with local_aws() as aws:
        yield aws


@pytest.fixture
def aws(aws_server: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """Give the local AWS, with the environment pointing at it."""
    for name, value in aws_server.environment.items():
        monkeypatch.setenv(name, value)
    return aws_server


@pytest.fixture(scope="session")
def ecs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEcs]:
    """Give the session's local AWS with an ECS that runs tasks."""
    with local_ecs(tmp_path_factory.mktemp("tasks")) as ecs:
        yield ecs


@pytest.fixture(name="local_ecs")
def fresh_ecs(ecs_server: LocalEcs, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalEcs]:
    """Give a cluster that runs tasks, with the environment pointing at its AWS; what was planted must have happened."""
    for name, value in ecs_server.environment.items():
        monkeypatch.setenv(name, value)
    ecs_server.fresh()
    yield ecs_server
    assert ecs_server.troubles() == []


@pytest.fixture(scope="session")
def lambdas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    """Give the session's AWS Lambda."""
    with functions(tmp_path_factory.mktemp("functions")) as running:
        yield running


@pytest.fixture(scope="session")
def sqs_server() -> Iterator[Aws]:
    """Give the session's fast SQS."""
    with local_aws("sqs_server.py") as aws:
        yield aws


@pytest.fixture
def fast_sqs(sqs_server: Aws, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """Give an SQS for many messages, with the environment pointing at it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", sqs_server.url)
    return sqs_server


@pytest.fixture(scope="session")
def dynalite_server() -> Iterator[str]:
    """Give the URL of the session's dynalite."""
    with dynalite() as url:
        yield url


@pytest.fixture
def dynalite_aws(aws: Aws, dynalite_server: str, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """Give the local AWS, with the environment pointing at it, but for DynamoDB, which is dynalite."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynalite_server)
    return aws


@pytest_asyncio.fixture
async def database_url(postgres_server: Postgres) -> AsyncIterator[str]:
    """Give a fresh, empty database, dropped afterwards."""
    url = await postgres_server.database()
    yield url
    await postgres_server.drop(url)


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=[None, *SYSTEM], ids=str)
async def each_server(request: pytest.FixtureRequest) -> AsyncIterator[Postgres]:
    """Give a server of each PostgreSQL: the wheel's, and those that the system has."""
    async with Postgres(request.param) as server:
        yield server


@pytest_asyncio.fixture
async def each_url(each_server: Postgres) -> AsyncIterator[str]:
    """Give an empty database on each PostgreSQL: emptied afterwards, which is faster than making one."""
    yield each_server.url
    connection = await asyncpg.connect(each_server.url)
    await connection.execute(_EMPTY)
    await connection.close()


@pytest_asyncio.fixture
async def link(each_url: str) -> AsyncIterator[Link]:
    """Give a link to an empty database on each PostgreSQL."""
    async with Link(each_url, "test") as link:
        yield link


@pytest_asyncio.fixture
async def store_url(each_url: str, link: Link) -> str:
    """Give a database with the run store's schema on each PostgreSQL."""
    await migrate(link)
    return each_url


@pytest_asyncio.fixture(params=["postgres", "moto", pytest.param("dynalite", marks=pytest.mark.soak)])
async def run_store(
    request: pytest.FixtureRequest, postgres_server: Postgres, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StoreWorld]:
    """Give an empty run store of each kind, that in DynamoDB on two servers that were written apart."""
    if request.param == "dynalite":
        monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("dynalite_server"))
    if request.param != "postgres":
        async with dynamodb_world() as world:
            yield world
        return
    url = await postgres_server.database()
    async with postgres_world(url) as world:
        yield world
    await postgres_server.drop(url)
