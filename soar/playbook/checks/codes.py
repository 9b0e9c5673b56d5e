"""Every code that the checker may say, how grave it is, and what it means. Codes are stable: tools branch on them.

An *error* is a playbook that no run could carry out as it is written, that means something other than
it says, or that would do harm which nothing catches. A *warning* runs, but a guard will stop it, or a
reviewer should know. A *note* is legal and worth knowing. A code that is not here is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Severity(StrEnum):
    """How grave a remark is; the words of SARIF 2.1.0 (section 3.27.10)."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


ERRORS: Mapping[str, Mapping[str, str]] = {
    "The text": {
        "syntax": "The text is no YAML, or no JSON.",
        "empty": "Something that must not be empty is.",
        "too_large": "The document has too many bytes.",
        "too_deep": "The document is nested too deeply.",
        "too_many_nodes": "The document has too many values.",
        "too_many_problems": "There are more problems than are told at once.",
        "expressions_too_large": "The conditions of a playbook are too long together.",
        "not_utf8": "The bytes are not UTF-8.",
        "byte_order_mark": "The document begins with a byte order mark.",
        "control_character": "A character that may hide a line, or end one, stands in the text.",
        "lone_surrogate": "A text holds half a character.",
        "duplicate_key": "A name stands twice in one mapping: two readers would read two playbooks.",
        "key_not_text": "A key is a number, a truth value or a list.",
        "alias": "An alias (*name): a few of them make gigabytes.",
        "anchor": "An anchor (&name).",
        "tag": "A tag (!name).",
        "merge_key": "A merge key (<<).",
        "directive": "A directive (%YAML, %TAG).",
        "several_documents": "A second document in one file.",
        "trailing_data": "Something stands after the end of the document.",
        "not_finite": "A number that is infinite, or none.",
        "number_too_long": "A number with thousands of digits.",
        "number_too_large": "A number that canonical JSON cannot hold, so that nothing could be signed.",
    },
    "The form": {
        "unknown_key": "A key that has no meaning here.",
        "unknown_property": "A property that has no meaning here.",
        "not_our_form": "Our own extension says a thing in other words than ours, so that its bytes would change.",
        "missing_key": "A key that must be there is not.",
        "missing_property": "A property that must be there is not.",
        "wrong_type": "A value of another type than its place, its parameter or its variable wants.",
        "unknown_word": "A word that is not one of those that may stand here.",
        "out_of_range": "A number, or a time, outside of its bounds.",
        "bad_name": "A name with characters that names must not have.",
        "bad_id": "An id that is not its type, two hyphens and a UUID.",
        "bad_time": "A time that is none, or two times in the wrong order.",
        "bad_duration": "A length of time without unit, or none at all.",
        "bad_reference": "A reference is wanted, as in $hosts.",
        "bad_path": "A path that leads into no fact.",
        "reserved_name": "A name that is taken by the notation itself.",
        "name_taken": "One name for two things.",
        "duplicate_id": "Two steps of one name.",
        "two_forms": "A step that does two things.",
        "no_form": "A step that does nothing.",
        "not_cacao": "The document is no CACAO 2.0 playbook.",
        "bad_cron": "A schedule that is none, or never comes.",
        "bad_timezone": "A time zone that does not exist.",
        "unknown_variable": "An input of a schedule that the playbook does not have.",
        "missing_input": "A run that begins by the clock would lack a value.",
    },
    "The way through": {
        "no_start": "workflow_start names no start step.",
        "several_starts": "A second start step.",
        "bad_start": "A start step has on_completion and nothing else.",
        "dangling_step": "A pointer leads to a step that is not there.",
        "unknown_step": "A step is named that is not there.",
        "unknown_step_type": "A type of step that CACAO does not have.",
        "unreachable_step": "No path leads to this step.",
        "no_next_step": "A branch breaks off: a step that is no end leads nowhere.",
        "end_leads_on": "An end step has a pointer; an end ends.",
        "two_ways": "on_completion beside on_success or on_failure.",
        "step_loop": "Steps go in a circle. Only while repeats, and it is bounded.",
        "branch_leaves": "A branch goes on outside of itself without returning to its opener: steps would run twice.",
        "branch_twice": "Two branches of a parallel are the same one.",
        "too_few_branches": "A parallel of fewer than two branches.",
        "nested_too_deep": "Steps stand in one another more than 64 deep.",
        "no_condition": "An if or while without condition.",
        "while_without_max": "A loop without bound.",
        "calls_itself": "A playbook whose step is the playbook itself.",
        "unknown_handler": "A handler is named that is not there.",
        "unused_handler": "No step names this handler.",
        "handler_loop": "A failure in a handler leads back to it.",
        "continue_not_here": "continue may only end a handler.",
        "continue_elsewhere": "A handler continues in a branch that is not the one of the failure.",
        "continue_backwards": "A handler continues before the failure, so that the run could loop.",
        "continue_from_exception": "The handler of the last resort continues.",
    },
    "References and types": {
        "undefined_variable": "A variable that nothing declares.",
        "unknown_output": "An output that the step does not have.",
        "not_before": "The step cannot have run by then.",
        "one_of_many": "One element of a list is taken; a playbook acts on all of them.",
        "variable_in_trigger": "A trigger speaks of a variable: none has a value before the run.",
        "unknown_path": "A path into facts that nothing knows.",
        "expression_syntax": "A condition that does not parse.",
        "expression_variable": "A variable in a condition that is spelt wrongly.",
        "expression_constant": "A constant in a condition that is none.",
        "expression_observation": "A condition with STIX observations, which have no meaning here.",
        "condition_type": "A comparison that can never hold, for the two sides are of different types.",
        "writes_constant": "out_args writes a variable that is constant.",
    },
    "Definitions": {
        "no_agent": "An action step without agent.",
        "unknown_agent": "A name that is not in agents.",
        "unknown_target": "A name that is not in targets.",
        "unknown_authentication": "A name that is not in authentication.",
        "undefined_agent": "An agent that is not defined.",
        "undefined_target": "A target that is not defined.",
        "undefined_authentication": "Authentication that is not defined.",
        "undefined_extension": "An extension without definition.",
        "undefined_marking": "A marking that is not defined.",
        "bad_address": "An address with unknown parts, or parts that are no lists.",
    },
    "Commands": {
        "no_commands": "An action step without commands.",
        "bad_command": "Something that is no command.",
        "unknown_command_type": "A type of command that nothing can carry out.",
        "mixed_commands": "A question to a person and automatic commands in one step.",
        "command_missing": "A command that says nothing.",
        "command_twice": "The same thing twice, plain and in base64.",
        "not_base64": "Text that should be base64 and is not.",
        "needs_base64": "Text of a type of command that CACAO carries in base64 only.",
        "bad_start_line": "The first line of an HTTP request that is none.",
        "bad_headers": "HTTP headers that are not lists of texts.",
        "literal_secret": "A secret is written out. Playbooks are stored, hashed, shown and shared.",
    },
    "Verbs and safety": {
        "unknown_verb": "A verb that the vocabulary does not have.",
        "unknown_parameter": "A parameter that the verb does not have.",
        "missing_parameter": "A parameter that the verb needs.",
        "undo_by_verb": "An inverse verb is named. Only undo asks the release gate.",
        "cannot_undo": "What the step did has no inverse.",
        "hold_without_review": "A containment that stays, and nobody is asked again.",
        "hold_with_lease": "A lease on a containment that no lease ends.",
        "containment_without_end": "A block with neither lease nor review.",
        "time_not_here": "A lease, review or length on a step where it means nothing.",
        "approval_without_role": "An approval that names nobody.",
        "approval_without_time": "An approval without time.",
        "approval_without_on_timeout": "An approval that does not say what silence means.",
        "unknown_role": "A role that may not vote.",
        "destructive_without_approval": "What cannot be taken back is done without asking anybody.",
        "no_adapter": "No configured adapter can do this (only with --adapters).",
    },
}  # fmt: skip
"""Codes of errors, by what they are about."""

WARNINGS: Mapping[str, str] = {
    "branch_shared": "Two branches lead into the same steps or the same end; CACAO wants an end for each.",
    "person_decides": "A condition of a foreign playbook that cannot be read: a person will be asked each time.",
    "loop_bounded": "A loop of a foreign playbook without bound: the engine stops it after 100 turns.",
    "loop_never_changes": "Nothing in the loop changes what its condition reads.",
    "text_order": "Texts are compared letter by letter: '10' comes before '9'.",
    "unused_variable": "A variable that nothing reads or writes.",
    "unused_definition": "An agent, target, authentication, extension or marking that nothing uses.",
    "not_in_vocabulary": "A word outside of CACAO's open vocabulary: others may not know it.",
    "types_without_activities": "playbook_types without playbook_activities.",
    "activity_without_step": "A playbook activity that no step has.",
    "time_not_milliseconds": "A time without exactly three digits of a second.",
    "id_of_other_type": "An id that begins with another type than that of its object.",
    "unknown_command_property": "A property that commands do not have: perhaps misspelt.",
    "custom_property": "A property that CACAO does not have: kept and handed on, and without meaning here.",
    "unpinned_playbook": "A step runs whatever version of another playbook is newest then.",
    "element_unused": "The step does the same for each element of its list.",
    "partial_of_one": "partial on a step with one target.",
    "together_of_nothing": "together, or an approval, over branches without any action.",
    "undone_twice": "undo names a step twice.",
    "within_without_on_timeout": "A question with a time limit that does not say what silence means.",
    "on_timeout_without_within": "on_timeout on a question without time limit.",
    "timeout_before_approval": "The step's timeout is over before its approval's.",
    "silence_is_consent": "Silence lets something risky go on.",
    "automatic_harm": "Something risky starts by itself, and nobody is asked.",
    "release_without_approval": "A release that names nobody who agrees; the gate will ask all the same.",
    "release_before_clean": "A path leads to the release of a host with neither a clean check nor a rebuild since.",
    "release_before_reset": "A path leads to the release of an account without a new credential and ended sessions.",
    "restore_without_verdict": "A path leads to a restore or unblock that nothing and nobody judged clean or benign.",
    "evidence_after_loss": "A path leads to a step that destroys evidence which was not collected before.",
    "phase_out_of_order": "A containment comes after eradication or recovery, and no phase: says why.",
}  # fmt: skip
"""Codes of warnings."""

NOTES: Mapping[str, str] = {
    "switch_without_default": "A value that no case names goes on without doing anything.",
    "unread_output": "What was asked or found is never read.",
    "revoked_playbook": "The playbook is revoked: no run will begin.",
}
"""Codes of notes."""

MEANINGS: Mapping[str, str] = {
    **{code: said for part in ERRORS.values() for code, said in part.items()}, **WARNINGS, **NOTES,
}  # fmt: skip
"""What each code means."""

MENDS: Mapping[str, str] = {
    "bad_id": "Write its type, two hyphens and a UUID.",
    "bad_start": "Write on_completion: the first step.",
    "dangling_step": "Write the id of a step that is there, or take the pointer out.",
    "missing_property": "Add it.",
    "no_form": "Write one of do, manual, undo, if, parallel, while, switch, playbook and command.",
    "no_start": "Name the start step.",
    "not_cacao": "Write type: playbook and spec_version: cacao-2.0.",
    "out_of_range": "Write a value within its bounds.",
    "unknown_property": "Look for a misspelt word, or remove it.",
    "unknown_step": "Name a step of this playbook.",
    "unknown_word": "Write one of the words that are known here.",
    "wrong_type": "Write a value of the type that is wanted here.",
}
"""How to mend what whoever said it gave no advice for."""


def severity_of(code: str) -> Severity:
    """How grave a code is."""
    if code in WARNINGS:
        return Severity.WARNING
    return Severity.NOTE if code in NOTES else Severity.ERROR
