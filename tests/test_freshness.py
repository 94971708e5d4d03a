"""How fresh a token is: the two windows, their caps, chance, and clocks that jump."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import LAW

from foxy_auth._engine.freshness import AHEAD_SHARE, LEEWAY_SHARE, Standing, Windows
from foxy_auth.token import Token

NOW = 1_800_000_000.0
DEFAULTS = Windows(ahead=300.0, leeway=60.0)
ORDER = [Standing.FRESH, Standing.AHEAD, Standing.DUE, Standing.SPENT]


def token(*, life: float | None, left: float | None) -> Token:
    """Return a token that has *left* seconds to live at `NOW`, out of *life*."""
    expires_at = None if left is None else NOW + left
    obtained_at = None if expires_at is None or life is None else expires_at - life
    return Token("fakeAccess", expires_at=expires_at, obtained_at=obtained_at)


@pytest.mark.parametrize(
    ("life", "left", "standing"),
    [
        pytest.param(7200, 7200, Standing.FRESH, id="new"),
        pytest.param(7200, 300.001, Standing.FRESH, id="before the window ahead"),
        pytest.param(7200, 300, Standing.AHEAD, id="the window ahead opens"),
        pytest.param(7200, 60.001, Standing.AHEAD, id="the window ahead is open"),
        pytest.param(7200, 60, Standing.DUE, id="the leeway begins"),
        pytest.param(7200, 0.001, Standing.DUE, id="the last moment"),
        pytest.param(7200, 0, Standing.SPENT, id="the moment of expiry"),
        pytest.param(7200, -1, Standing.SPENT, id="expired"),
        pytest.param(None, 301, Standing.FRESH, id="life unknown, before"),
        pytest.param(None, 300, Standing.AHEAD, id="life unknown, ahead"),
        pytest.param(None, 60, Standing.DUE, id="life unknown, leeway"),
        pytest.param(None, 0, Standing.SPENT, id="life unknown, expired"),
        pytest.param(None, None, Standing.FRESH, id="no expiry"),
        pytest.param(60, 60, Standing.FRESH, id="a minute to live, new"),
        pytest.param(60, 15.001, Standing.FRESH, id="a minute to live, before"),
        pytest.param(60, 15, Standing.AHEAD, id="a minute to live, ahead"),
        pytest.param(60, 6, Standing.DUE, id="a minute to live, leeway"),
        pytest.param(1, 1, Standing.FRESH, id="a second to live, new"),
        pytest.param(1, 0.25, Standing.AHEAD, id="a second to live, ahead"),
        pytest.param(1, 0.1, Standing.DUE, id="a second to live, leeway"),
        pytest.param(0, 0, Standing.SPENT, id="no life at all"),
        pytest.param(-5, 100, Standing.DUE, id="expired before it was obtained"),
    ],
)
def test_the_windows_open_at_their_edges(life: float | None, left: float | None, standing: Standing) -> None:
    """R5: Each window opens at its very edge, and both are capped by a share of the token's own life."""
    assert DEFAULTS.standing(token(life=life, left=left), NOW) is standing


def test_no_token_is_spent() -> None:
    """R5: Without a token there is nothing to go on with."""
    assert DEFAULTS.standing(None, NOW) is Standing.SPENT


@pytest.mark.parametrize(
    ("jitter", "left", "standing"),
    [
        pytest.param(0.0, 300, Standing.AHEAD, id="none"),
        pytest.param(1.0, 240.001, Standing.FRESH, id="most, before"),
        pytest.param(1.0, 240, Standing.AHEAD, id="most, ahead"),
        pytest.param(0.5, 270.001, Standing.FRESH, id="half, before"),
        pytest.param(0.5, 270, Standing.AHEAD, id="half, ahead"),
        pytest.param(1.0, 60, Standing.DUE, id="most, leeway"),
    ],
)
def test_chance_shortens_the_window_ahead(jitter: float, left: float, standing: Standing) -> None:
    """R5: Chance takes up to 60 s off the window ahead, and nothing off the leeway."""
    assert DEFAULTS.standing(token(life=7200, left=left), NOW, jitter=jitter) is standing


@pytest.mark.parametrize(
    ("obtained_in", "standing"),
    [
        pytest.param(-1, Standing.FRESH, id="in the past"),
        pytest.param(0, Standing.FRESH, id="now"),
        pytest.param(60, Standing.FRESH, id="within the leeway"),
        pytest.param(60.001, Standing.DUE, id="beyond the leeway"),
        pytest.param(10**9, Standing.DUE, id="in another age"),
    ],
)
def test_a_token_from_the_future_is_stale(obtained_in: float, standing: Standing) -> None:
    """R6: After a clock was set back, a token is refreshed instead of trusted for years, and still serves meanwhile."""
    obtained = Token("fakeAccess", obtained_at=NOW + obtained_in, expires_at=NOW + obtained_in + 7200)

    assert DEFAULTS.standing(obtained, NOW) is standing


def test_a_token_from_the_future_without_expiry_is_stale() -> None:
    """R6: A jump of the clock is seen by the moment of issue alone."""
    assert DEFAULTS.standing(Token("fakeAccess", obtained_at=NOW + 3600), NOW) is Standing.DUE


# --- laws ----------------------------------------------------------------------------------------------------------

seconds = st.floats(0.0, 10.0**6)
lives = st.floats(0.001, 10.0**6)
windows = st.builds(Windows, ahead=seconds, leeway=seconds)
fractions = st.floats(0.0, 1.0)


@LAW
@given(windows, lives | st.none(), seconds, seconds, fractions)
def test_a_token_never_gets_fresher(
    windows: Windows, life: float | None, elapsed: float, further: float, jitter: float
) -> None:
    """R5: From its issue on, a token's standing only falls."""
    issued = Token("fakeAccess", obtained_at=NOW, expires_at=None if life is None else NOW + life)
    sooner, later = (windows.standing(issued, NOW + at, jitter=jitter) for at in (elapsed, elapsed + further))

    assert ORDER.index(sooner) <= ORDER.index(later)


@LAW
@given(windows, st.floats(1.0, 10.0**6), fractions, fractions)
def test_windows_take_no_more_than_their_share(windows: Windows, life: float, part: float, jitter: float) -> None:
    """R5: For the first three quarters of its life a token needs nothing, and until its last tenth nobody waits."""
    issued = Token("fakeAccess", obtained_at=NOW, expires_at=NOW + life)
    standing = windows.standing(issued, NOW + part * life, jitter=jitter)

    if part < 1 - AHEAD_SHARE - 0.001:
        assert standing is Standing.FRESH
    elif part < 1 - LEEWAY_SHARE - 0.001:
        assert standing in {Standing.FRESH, Standing.AHEAD}


@LAW
@given(windows, lives, st.floats(-(10.0**6), 10.0**6), fractions)
def test_spent_means_expired_and_nothing_else(windows: Windows, life: float, left: float, jitter: float) -> None:
    """R5: A token counts as spent from its expiry on, whatever the windows, and never before."""
    issued = token(life=life, left=left)

    assert (windows.standing(issued, NOW, jitter=jitter) is Standing.SPENT) is issued.expired(NOW)


@LAW
@given(windows, lives, st.floats(-(10.0**9), 10.0**9), fractions)
def test_no_clock_locks_anybody_out(windows: Windows, life: float, jump: float, jitter: float) -> None:
    """R6: Wherever a clock has jumped to, a token is fresh only within the life that it was given."""
    issued = Token("fakeAccess", obtained_at=NOW, expires_at=NOW + life)
    standing = windows.standing(issued, NOW + jump, jitter=jitter)

    if standing in {Standing.FRESH, Standing.AHEAD}:
        assert -windows.leeway - 1e-6 <= jump < life + 1e-6
