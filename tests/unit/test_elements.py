"""Lists given to a run: their elements are checked before anything begins."""

from __future__ import annotations

import pytest

from soar.engine.binding import initial_inputs
from soar.errors import Invalid
from soar.playbook.yaml.yaml_form import load


def test_the_elements_of_a_list_have_the_type_that_the_steps_want_of_them() -> None:
    each = "id: cut, do: isolate_host, for_each: $hosts, as: host, with: {host: $host}, review: 1d"
    text = f"id: drill\nname: Drill\nvariables: {{hosts: {{type: list}}}}\nsteps:\n  - {{{each}}}\n"
    playbook = load(text)
    assert initial_inputs(playbook, {}, {"hosts": ["a", "b"]}) == {"hosts": ["a", "b"]}
    with pytest.raises(Invalid) as caught:
        initial_inputs(playbook, {}, {"hosts": ["a", 7, None, {"id": "b"}, True]})
    assert [problem.pointer for problem in caught.value.problems] == ["/hosts/1", "/hosts/2", "/hosts/3", "/hosts/4"]
