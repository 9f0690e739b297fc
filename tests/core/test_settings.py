"""Settings: unknown fields at any depth, and comparison with a saved configuration."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from mmae.core.errors import InputError
from mmae.core.settings import changed_fields, flat, flatten, from_dict, from_yaml, require_unchanged, to_dict, to_yaml


@dataclass(frozen=True)
class Leaf:
    size: int = 3


@dataclass(frozen=True)
class Branch:
    leaf: Leaf = Leaf()
    leaves: tuple[Leaf, ...] = (Leaf(), Leaf())
    by_name: dict[str, Leaf] = field(default_factory=dict)
    maybe: Leaf | None = None


@dataclass(frozen=True)
class Root:
    branch: Branch = Branch()
    steps: int = 16
    name: str = ""


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"bogus": 1}, "bogus"),
        ({"branch": {"bogus": 1}}, "branch.bogus"),
        ({"branch": {"leaf": {"bogus": 1}}}, "branch.leaf.bogus"),
        ({"branch": {"leaves": [{}, {"bogus": 1}]}}, "branch.leaves.1.bogus"),
        ({"branch": {"by_name": {"x": {"bogus": 1}}}}, "branch.by_name.x.bogus"),
        ({"branch": {"maybe": {"bogus": 1}}}, "branch.maybe.bogus"),
    ],
)
def test_unknown_fields_are_refused_by_name_at_any_depth(values, name):
    with pytest.raises(InputError) as caught:
        from_dict(values, Root, "run.yaml")
    assert str(caught.value).startswith("run.yaml: ") and f"{name}: " in str(caught.value)


def test_values_survive_dict_and_yaml(tmp_path):
    root = Root(Branch(Leaf(7), (Leaf(1),), {"x": Leaf(2)}, Leaf(5)), 32, "ä: #1")
    assert from_dict(to_dict(root), Root) == root
    (tmp_path / "root.yaml").write_text(to_yaml(root))
    assert from_yaml(tmp_path / "root.yaml", Root) == root


def test_flatten_uses_dotted_names_and_keeps_empty_dictionaries():
    assert flatten({"a": {"b": {"c": 1}, "d": {}}, "e": [1, 2]}) == {"a.b.c": 1, "a.d": {}, "e": [1, 2]}


def test_changed_fields_lists_names_and_both_values():
    before, now = flat(Root()), flat(replace(Root(), steps=32, branch=Branch(leaf=Leaf(4))))
    (leaf, steps) = changed_fields(before, now)
    assert leaf.startswith("branch.leaf.size ") and "3" in leaf and "4" in leaf
    assert steps.startswith("steps ") and "16" in steps and "32" in steps
    assert changed_fields(before, now, ("branch.leaf",)) == [steps]
    assert changed_fields(before, now, ("branch", "steps")) == []
    assert len(changed_fields({"a": 1}, {"b": 1})) == 2  # removed and added fields


def test_a_run_cannot_continue_with_another_configuration(tmp_path):
    saved = tmp_path / "config.yaml"
    require_unchanged(saved, Root(), "run first")  # nothing saved yet
    saved.write_text(to_yaml(Root()))
    require_unchanged(saved, Root(), "run first")
    require_unchanged(saved, Root(name="other"), "run first", ("name",))
    with pytest.raises(InputError) as caught:
        require_unchanged(saved, Root(name="other", steps=99), "run first", ("name",))
    message = str(caught.value)
    assert "run first" in message and "steps" in message and "99" in message and str(saved) in message
    assert "other" not in message.replace("another", "")
