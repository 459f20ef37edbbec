"""By which mechanism a loop waits: who says so, and what there is to say."""

import asyncio

import ouroloop
import pytest

VARIABLE = "OUROLOOP_MULTIPLEXER"


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def chosen(**keywords):
    loop = ouroloop.new_event_loop(**keywords)
    try:
        return loop.multiplexer
    finally:
        loop.close()


def test_each_is_chosen_by_its_name(mechanism):
    assert chosen(multiplexer=mechanism) == mechanism


@pytest.mark.parametrize("keywords", [{}, {"multiplexer": "auto"}, {"multiplexer": None}])
def test_left_to_the_system_it_is_the_one_that_asyncio_takes(keywords):
    stock = asyncio.SelectorEventLoop()
    name = type(stock._selector).__name__
    stock.close()
    assert chosen(**keywords) == name.removesuffix("Selector").lower()


def test_the_environment_chooses_for_loops_that_do_not(mechanism, monkeypatch):
    monkeypatch.setenv(VARIABLE, mechanism)
    assert chosen() == mechanism
    loop = ouroloop.EventLoop()
    assert loop.multiplexer == mechanism
    loop.close()

    async def main():
        return asyncio.get_running_loop().multiplexer

    assert ouroloop.run(main()) == mechanism
    ouroloop.install()
    assert asyncio.run(main()) == mechanism


def test_the_keyword_wins_over_the_environment(mechanism, monkeypatch):
    for value in ("select", "nonsense"):
        monkeypatch.setenv(VARIABLE, value)
        assert chosen(multiplexer=mechanism) == mechanism
    default = chosen(multiplexer="auto")
    monkeypatch.setenv(VARIABLE, "")
    assert chosen() == default


@pytest.mark.parametrize("name", ["iocp", "Epoll", "", " poll", "p\u00f6ll"])
def test_another_name_is_refused_with_what_there_is(name, monkeypatch):
    with pytest.raises(
        ValueError, match=r"no multiplexer .* on this system, which has auto, "
    ) as raised:
        ouroloop.Loop(multiplexer=name)
    assert str(raised.value).endswith(", poll, select")
    if name:
        monkeypatch.setenv(VARIABLE, name)
        with pytest.raises(ValueError, match=f"^{VARIABLE}: no multiplexer "):
            ouroloop.Loop()


def test_what_this_system_has_not_is_refused(mechanism):
    other = {"epoll": "kqueue", "kqueue": "epoll"}.get(mechanism)
    if other is None:
        pytest.skip("every system has this one")
    with pytest.raises(
        ValueError, match=f'no multiplexer "{other}" .* auto, {mechanism}, poll, select'
    ):
        ouroloop.new_event_loop(multiplexer=other)


def test_only_a_name_is_taken():
    with pytest.raises(TypeError):
        ouroloop.Loop(multiplexer=1)
    with pytest.raises(TypeError):
        ouroloop.Loop("poll")
    with pytest.raises(TypeError):
        ouroloop.new_event_loop("poll")


def test_it_is_told_for_good_and_cannot_be_changed(mechanism):
    loop = ouroloop.new_event_loop(multiplexer=mechanism)
    with pytest.raises(AttributeError):
        loop.multiplexer = "poll"
    loop.close()
    assert loop.multiplexer == mechanism


def test_a_class_derived_from_the_loop_may_have_arguments_of_its_own():
    class Named(ouroloop.Loop):
        def __new__(cls, name):
            return super().__new__(cls, multiplexer="poll")

        def __init__(self, name):
            self.name = name

    loop = Named("mine")
    assert (loop.name, loop.multiplexer) == ("mine", "poll")
    loop.close()
