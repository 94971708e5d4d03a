"""The demo: the life of a grant, played against the emulator."""

from foxy_auth.cli.demo._ahead import AHEAD
from foxy_auth.cli.demo._crowd import CROWD
from foxy_auth.cli.demo._first_calls import FIRST_CALLS
from foxy_auth.cli.demo._foreign import FOREIGN
from foxy_auth.cli.demo._performance import perform
from foxy_auth.cli.demo._revoked import REVOKED
from foxy_auth.cli.demo._scene import Exhibit, Finding, Part, Scene
from foxy_auth.cli.demo._stage import Stage
from foxy_auth.cli.demo._successor import SUCCESSOR

__all__ = ["SCENES", "Exhibit", "Finding", "Part", "Scene", "Stage", "perform"]

SCENES = (FIRST_CALLS, CROWD, AHEAD, REVOKED, FOREIGN, SUCCESSOR)
