"""How the figures of the demo world stand, walk, jump and wave: joints, blended and in motion."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

Point = tuple[float, float]


@dataclass(frozen=True)
class Pose:
    """Joints as offsets: hip height in leg lengths above the ground; knees and feet from each hip in leg
    lengths, elbows and hands from each shoulder in arm lengths. x grows forward, y downward. lift: of the whole figure off the ground, leg lengths."""

    hip: float
    lean: float
    legs: tuple[tuple[Point, Point], tuple[Point, Point]]
    arms: tuple[tuple[Point, Point], tuple[Point, Point]]
    lift: float = 0.0


STANDING_LEGS = (((-0.02, 0.5), (-0.06, 0.95)), ((0.02, 0.5), (0.06, 0.95)))
POSES: dict[str, Pose] = {
    "waving": Pose(0.97, 0.0, STANDING_LEGS, (((-0.28, 0.42), (-0.34, 0.86)), ((0.46, -0.12), (0.56, -0.66)))),
    "running": Pose(
        0.93, 0.14,
        (((-0.16, 0.48), (-0.74, 0.6)), ((0.46, 0.26), (0.5, 0.86))),
        (((-0.46, 0.26), (-0.74, -0.06)), ((0.3, 0.44), (0.74, 0.24))),
    ),
    "sitting": Pose(
        0.62, 0.0,
        (((-0.3, 0.08), (-0.36, 0.58)), ((0.3, 0.08), (0.36, 0.58))),
        (((-0.26, 0.42), (-0.06, 0.76)), ((0.26, 0.42), (0.06, 0.76))),
    ),
    "jumping": Pose(
        1.34, 0.0,
        (((-0.42, 0.24), (-0.62, 0.66)), ((0.42, 0.24), (0.62, 0.66))),
        (((-0.42, -0.3), (-0.6, -0.8)), ((0.42, -0.3), (0.6, -0.8))),
    ),
    "reading": Pose(0.97, 0.0, STANDING_LEGS, (((-0.36, 0.36), (-0.2, 0.66)), ((0.36, 0.36), (0.2, 0.66)))),
    "balloon": Pose(0.97, 0.0, STANDING_LEGS, (((-0.28, 0.42), (-0.34, 0.86)), ((0.36, 0.34), (0.66, -0.02)))),
}
CROUCH = Pose(
    0.74, 0.1,
    (((0.22, 0.4), (-0.12, 0.72)), ((0.3, 0.36), (0.06, 0.72))),
    (((-0.4, 0.26), (-0.78, 0.4)), ((-0.3, 0.3), (-0.66, 0.5))),
)


def blend(a: Pose, b: Pose, share: float) -> Pose:
    """`a` at 0, `b` at 1."""
    return Pose(**{each.name: _mix(getattr(a, each.name), getattr(b, each.name), share) for each in fields(Pose)})


def _mix(a, b, share: float):
    if isinstance(a, tuple):
        return tuple(_mix(x, y, share) for x, y in zip(a, b))
    return a * (1 - share) + b * share


def walking(phase: float, arms: tuple[tuple[Point, Point], tuple[Point, Point]] | None = None) -> Pose:
    """One of two legs before the other; `phase` in whole cycles of two steps. arms: what they do instead of swinging."""
    swing = math.sin(2 * math.pi * phase)
    lifted = math.cos(2 * math.pi * phase)

    def leg(side: float) -> tuple[Point, Point]:
        forward, up = 0.5 * swing * side, max(0.0, lifted * side)
        return (forward * 0.5 + 0.12 * up, 0.48 - 0.04 * up), (forward - 0.1 * up, 0.95 - 0.22 * up - 0.12 * abs(swing))

    def arm(side: float) -> tuple[Point, Point]:
        return (-0.34 * swing * side - 0.06, 0.42), (-0.62 * swing * side + 0.06, 0.78)

    return Pose(0.97 - 0.1 * abs(swing), 0.05, (leg(1), leg(-1)), arms or (arm(1), arm(-1)))


def waving(phase: float) -> Pose:
    """The hand goes to and fro; `phase` in whole cycles."""
    rest = POSES["waving"]
    turn = 0.75 * math.sin(2 * math.pi * phase)
    elbow = rest.arms[1][0]
    reach = (0.1, -0.54)
    hand = (elbow[0] + reach[0] * math.cos(turn) - reach[1] * math.sin(turn), elbow[1] + reach[0] * math.sin(turn) + reach[1] * math.cos(turn))
    return Pose(rest.hip, rest.lean, rest.legs, (rest.arms[0], (elbow, hand)))


def jumping(through: float) -> Pose:
    """A jump from crouch to crouch; `through` it from 0 to 1."""
    height = 4 * through * (1 - through)
    share = min(1.0, 2.2 * height)
    pose = blend(CROUCH, POSES["jumping"], share)
    # The hip of "jumping" is off the ground already.
    return Pose(pose.hip, pose.lean, pose.legs, pose.arms, lift=0.5 * height)
