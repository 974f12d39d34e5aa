"""The benchmarks that stand on the engine's own text: a change of the text must not be found out weeks later."""

from bench.prices import prices


def test_bench_takes_each_guarantee_out_of_the_engine() -> None:
    """What is left still works off its records, and each price is a line of the table."""
    engine, *each = prices(3_000, 1)
    assert engine.worker > 0
    assert [line.what.partition(":")[0] for line in each] == ["price of"] * 6
    assert each[-1].at_most == 0.4
