"""Rules of handlers: each is used, none goes in circles, and `continue` leads forward.

A handler may continue only at a step that comes after every step that names it, in the same
sequence; else a run could loop, or land in a branch that is not its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Several

from soar.playbook.places import nearest
from soar.playbook.yaml.compile import Use
from soar.playbook.yaml.fields import Reader
from soar.playbook.yaml.outline import END, Outline, Sequence
from soar.strict_text import escaped


def check_handlers(
    reader: Reader, outline: Outline, handlers: Mapping[str, Sequence], uses: Several[Use], on_exception: str
) -> None:
    """Note every problem of the handlers."""
    used = {use.handler for use in uses} | {on_exception}
    misspelt = any(problem.code == "unknown_handler" for problem in reader.problems)
    for name, handler in handlers.items():
        if name not in used and not misspelt:
            mend = "Name it in on_failure or on_exception, or remove it."
            reader.note("unused_handler", f"no step names the handler {name}", f"/handlers/{escaped(name)}#key", mend)
        if handler.goes_on:
            _forward(reader, outline, handler, [use for use in uses if use.handler == name])
    _circles(reader, handlers, uses)
    goes_on = on_exception in handlers and handlers[on_exception].goes_on_at
    if goes_on:
        message = "the handler of on_exception cannot continue: the failure may have been anywhere"
        reader.note("continue_from_exception", message, goes_on, "Use a handler of its own.")


def _forward(reader: Reader, outline: Outline, handler: Sequence, uses: Several[Use]) -> None:
    target = outline.slugs.get(handler.goes_on)
    if handler.goes_on == END:
        if any(use.item.sequence is not uses[0].item.sequence for use in uses):
            message = "the steps that name this handler stand in several branches, and so have several ends"
            reader.note("continue_elsewhere", message, handler.goes_on_at, "Write a handler for each branch.")
        return
    if target is None:
        message = f"there is no step {handler.goes_on}"
        reader.note("unknown_step", message, handler.goes_on_at, nearest(handler.goes_on, outline.slugs))
        return
    for use in uses:
        if use.item.sequence is not target.sequence:
            message = f"{use.item.path} fails in another branch than that of {target.slug}"
            mend = "Continue at a step of the same list of steps, or give that step its own handler."
            reader.note("continue_elsewhere", message, handler.goes_on_at, mend)
        elif use.item.index >= target.index:
            message = f"{target.slug} does not come after {use.item.path}, so that the run could loop"
            reader.note("continue_backwards", message, handler.goes_on_at, "Continue at a later step.")


def _circles(reader: Reader, handlers: Mapping[str, Sequence], uses: Several[Use]) -> None:
    """Note handlers whose failures lead back to themselves."""
    leads = {name: {use.handler for use in uses if use.item.path.startswith(f"handlers/{name}/")} for name in handlers}
    for name in handlers:
        reached: set[str] = set()
        todo = list(leads[name])
        while todo:
            each = todo.pop()
            if each not in reached:
                reached.add(each)
                todo += leads.get(each, ())
        if name in reached:
            mend = "Let its steps fail, or give them another handler."
            reader.note("handler_loop", f"a failure in the handler {name} leads back to it", f"/handlers/{name}", mend)
