"""Whether chosen options are there: hosts before 0.8 let the queue send any text for a COMBO of a V3 node."""

from __future__ import annotations

from comfy_api.latest import io


def check_choices(node: type[io.ComfyNode], **chosen: object) -> None:
    """Raises: ValueError, with what there is, for an option that its COMBO does not have; other inputs are not looked at."""
    schema = node.define_schema()
    options = {each.id: each.options for each in schema.inputs if isinstance(each, io.Combo.Input)}
    for name, value in chosen.items():
        if name in options and value not in options[name]:
            raise ValueError(f"{schema.node_id}: input '{name}' is {value!r}. Choose one of: {', '.join(map(str, options[name]))}.")
