"""What the values of a table obey: flags, keys, presence, bounds, and the table's own rules."""

import json
from collections.abc import Callable
from functools import reduce
from operator import and_, eq, ne, or_

import numpy as np
import xarray as xr

from compressibility.store.declarations import (
    BOOKS,
    FLOAT32,
    PARTED,
    Dimension,
    Flag,
    Rule,
    Table,
    Variable,
)
from compressibility.store.view import SchemaError, View


def check_values(view: View, table: Table) -> None:
    """Check every value of a table whose layout and coordinates are those declared.

    What reads variables that are not in view, as those of the layers in a shard, is passed over.

    Raises:
        SchemaError: The first violation found.
    """
    for flag in table.flags:
        _check_flag(view, flag)
    _check_bookkeeping(view, table)
    along = {dimension.name: dimension for dimension in table.dimensions}
    for variable in table.variables:
        _check_presence(view, table, variable, along)
    given = [variable for variable in table.given if variable.name in view.variables]
    for variable in (*given, *table.variables):
        check_bounds(view, variable)
        _check_descent(view, variable)
    for rule in table.rules:
        check_rule(view, rule)


def check_bounds(view: View, variable: Variable, *, may_be_missing: bool = True) -> None:
    """Refuse infinite values, and those outside the variable's bounds.

    Bounds that another variable sets, as the number of images does, count where that is in view.
    """
    name, bounds = variable.name, variable.bounds
    if variable.dtype == "float64":
        infinite = np.isinf(view[name].values)
        view.refuse(name, xr.Variable(view[name].dims, infinite), "is infinite")
    if bounds is None or not {bounds.maximum_from} <= {"", *view.variables}:
        return
    values = view.numbers(name) if may_be_missing else view[name]
    outside = ~bounds.inside(values, view)
    if may_be_missing:
        outside &= _is_there(values)
    view.refuse(name, outside, bounds.told(view))


def check_rule(view: View, rule: Rule) -> None:
    """Refuse where a rule is violated; one that needs what is not in view is passed over."""
    if {rule.variable, *rule.needs} <= set(view.variables):
        view.refuse(rule.variable, rule.violated(view), rule.what)


def _check_flag(view: View, flag: Variable) -> None:
    """A flag that tells of a cut agrees with ``same_as``; others say measured or not."""
    values = view[flag.name]
    allowed = [_is(values, Flag.NOT_MEASURED), _is(values, Flag.FAILED)]
    if "mode" not in flag.dims:
        allowed += [_is(values, each) for each in (Flag.MEASURED, *flag.reasons)]
    elif not view.tells_of_layers:
        anywhere = (Flag.MEASURED, *flag.reasons, Flag.SAME_AS_OTHER_CUT, Flag.TRIVIAL_CUT)
        allowed += [_is(values, each) for each in anywhere]
    else:
        exists, trivial = view.cut_exists, view.cut_is_trivial
        allowed += [_is(values, each) & exists for each in (Flag.MEASURED, *flag.reasons)]
        allowed.append(_is(values, Flag.TRIVIAL_CUT) & trivial)
        allowed.append(_is(values, Flag.SAME_AS_OTHER_CUT) & ~exists & ~trivial)
    view.refuse(flag.name, ~reduce(or_, allowed), "is no flag that can stand here")


def _check_bookkeeping(view: View, table: Table) -> None:
    """A task tells where it comes from exactly where it was done; why it failed, if it did."""

    def within(meaning: Flag, relation: Callable[..., xr.Variable] = eq) -> xr.Variable:
        """Whether a flag says so anywhere within a task."""
        said = [relation(view[flag.name], meaning.value) for flag in table.flags]
        return reduce(or_, [s.any([d for d in s.dims if d not in table.per]) for s in said])

    first = table.flags[0].name
    texts = {entry: view[table.book(entry)] for entry in BOOKS}
    key, keyed = table.book("key"), texts["key"] != ""
    failed = within(Flag.FAILED)
    started = within(Flag.NOT_MEASURED, ne)
    measured = within(Flag.MEASURED)
    view.refuse(key, measured & ~keyed, f"stands where {first} says measured")
    view.refuse(key, failed & ~keyed, f"stands where {first} says failed")
    view.refuse(key, keyed & ~started, f"stands where {first} says not measured")
    for entry in ("device", "precision", "commit", "versions"):
        told = texts[entry] != ""
        view.refuse(table.book(entry), keyed & ~told, f"is empty, but {key} is not")
        view.refuse(table.book(entry), told & ~keyed, f"stands where {key} is empty")
    _check_versions(texts["versions"], table)
    failure, told = table.book("failure"), texts["failure"] != ""
    view.refuse(failure, failed & ~told, f"is empty where {first} says failed")
    for flag in table.flags:
        otherwise = told & ~_is(view[flag.name], Flag.FAILED)
        view.refuse(flag.name, otherwise, f"is not failed, but {failure} says why it failed")


def _check_versions(texts: xr.Variable, table: Table) -> None:
    for text in set(texts.values.ravel().tolist()) - {""}:
        try:
            told = json.loads(text)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise SchemaError(f"{table.book('versions')}: {text!r} is no JSON of versions")


def _check_presence(
    view: View, table: Table, variable: Variable, along: dict[str, Dimension]
) -> None:
    """A value is there exactly where its flag says so."""
    ragged = [found for d in variable.dims if (found := along[d].exists) is not None]
    if ragged and not view.tells_of_layers:
        return
    expected = reduce(and_, [exists(view) for exists in ragged], _measured(view, table, variable))
    who = variable.flag
    if variable.float32_only:
        expected = expected & (view[table.book("precision")] == FLOAT32)
        who = f"{variable.flag} or {table.book('precision')}"
    values = view[variable.name]
    there = _is_there(values) if variable.dtype == "float64" else values != variable.missing
    if variable.part:
        ours = xr.Variable(PARTED, np.isin(view[PARTED].values.astype(str), variable.part))
        there, expected = there & ours, expected & ours
    if not (there != expected).values.any():
        return
    view.refuse(variable.name, expected & ~there, f"is missing, but {variable.flag} says measured")
    view.refuse(variable.name, there & ~expected, f"is there, but {who} says it is missing")


def _measured(view: View, table: Table, variable: Variable) -> xr.Variable:
    """Where the flag says measured.

    A value that is coarser than its flag, as the norm of a kernel is than the flags of its cuts,
    is there wherever the task was done.
    """
    flag = view[variable.flag]
    if set(flag.dims) <= set(variable.dims):
        return _is(flag, Flag.MEASURED)
    done: xr.Variable = (view[table.book("key")] != "") & (view[table.book("failure")] == "")
    return done


def _check_descent(view: View, variable: Variable) -> None:
    if not variable.descends_along:
        return
    values = view.numbers(variable.name)
    axis = values.dims.index(variable.descends_along)
    steps = np.diff(values.values, axis=axis, prepend=np.inf)
    what = f"rises along {variable.descends_along}; it must descend"
    view.refuse(variable.name, xr.Variable(values.dims, steps > 0), what)


def _is_there(numbers: xr.Variable) -> xr.Variable:
    return xr.Variable(numbers.dims, ~np.isnan(numbers.values))


def _is(flags: xr.Variable, flag: Flag) -> xr.Variable:
    return flags == flag.value
