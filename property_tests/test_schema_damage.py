"""The schema lets no damage pass: every kind of it is refused, by a message that says where.

What can be damaged follows from the tables: each variable's layout, each bound, descent, flag,
rule and bookkeeping entry, each dimension's order. A table added later is damaged without an edit
here.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from unittest import mock

import numpy as np
import pytest
import xarray as xr
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from compressibility.store import schema
from compressibility.store.declarations import BOOKS, Rule, Table, Variable
from compressibility.store.rules import validate
from compressibility.store.schema import CORE, Flag, declared, dimensions, present
from compressibility.store.view import SchemaError, View
from property_tests.datasets import blank_dataset, measured, tasks, whole_datasets
from property_tests.tomorrow import DISTILLATION

FEW = settings(
    max_examples=max(2, settings().max_examples // 50),
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
"""There are many kinds of damage in each example, and each is small: none is made smaller."""


@dataclass(frozen=True)
class Damage:
    """A damaged dataset, and what its refusal says: a regular expression, from the beginning."""

    dataset: xr.Dataset
    message: str


def refused(damages: Iterator[Damage]) -> None:
    """Every damage is refused by its message, in one line; there is at least one."""
    number = 0
    for damage in damages:
        number += 1
        with pytest.raises(SchemaError) as caught:
            validate(damage.dataset)
        message = str(caught.value)
        assert re.match(damage.message, message), f"{damage.message!r} is not how {message!r} goes"
        assert "\n" not in message
    assert number


def with_values(dataset: xr.Dataset, name: str, values: object) -> xr.Dataset:
    """The dataset with a variable that has other values."""
    found = dataset.copy()
    found.variables[name].values = np.asarray(values)
    return found


def at_place(dataset: xr.Dataset, name: str, place: tuple[int, ...], value: object) -> xr.Dataset:
    """The dataset with another value in one place."""
    values = dataset.variables[name].values.copy()
    values[place] = value
    return with_values(dataset, name, values)


def everywhere(dataset: xr.Dataset, name: str, value: object) -> xr.Dataset:
    return with_values(dataset, name, np.full_like(dataset.variables[name].values, value))


def there(dataset: xr.Dataset, variable: Variable) -> list[tuple[int, ...]]:
    """Where the table whose variable it is has measured it; two places at most."""
    values = dataset.variables[variable.name]
    found = values.notnull() if variable.dtype == "float64" else values != variable.missing
    if variable.part:
        ours = np.isin(dataset["weights"].values.astype(str), variable.part)
        found = found & xr.Variable("weights", ours)
    places = [tuple(map(int, place)) for place in np.argwhere(found.values)]
    return [*places[:1], *places[-1:]]


def tables_of(dataset: xr.Dataset) -> Iterator[tuple[Table, Variable]]:
    for table in present(dataset):
        for variable in table.variables:
            yield table, variable


# layout: of every variable


def lost_variables(dataset: xr.Dataset) -> Iterator[Damage]:
    keys = {table.book("key") for table in present(dataset) if table is not CORE}
    for name in set(declared()) - set(dimensions()):
        told = f".*: stands without a table: .* no {name}"
        message = told if name in keys else f"{name}: missing variable"
        yield Damage(dataset.drop_vars(name), message)


def other_types(dataset: xr.Dataset) -> Iterator[Damage]:
    narrow = {"float64": "float32", "int64": "int32", "int8": "int64"}
    for name, variable in declared().items():
        if name in dimensions():
            continue
        found = dataset.variables[name]
        values = found.values
        values = values.astype(narrow[variable.dtype]) if variable.dtype != "str" else values == ""
        other = (found.dims, values, found.attrs)
        damaged = dataset.assign_coords if name in dataset.coords else dataset.assign
        yield Damage(damaged({name: other}), f"{name}: dtype is .*, must be {variable.dtype}")
        if variable.dtype == "int64":
            other = (found.dims, found.values.astype(float), found.attrs)
            yield Damage(damaged({name: other}), f"{name}: dtype is float64, must be int64")


def other_dimensions(dataset: xr.Dataset) -> Iterator[Damage]:
    for name, variable in declared().items():
        if name in dataset.data_vars:
            found = dataset[name]
            wide = dataset.assign({name: found.expand_dims("strange")})
            yield Damage(wide, f"{name}: dimensions are")
            for dim in variable.dims:
                narrow = dataset.assign({name: found.isel({dim: 0}, drop=True)})
                yield Damage(narrow, f"{name}: dimensions are")


def other_attributes(dataset: xr.Dataset) -> Iterator[Damage]:
    for name, variable in declared().items():
        attributes = ["units", "long_name", "definition", "source"]
        if variable.dtype == "int8":
            attributes += ["flag_values", "flag_meanings"]
        for attribute in attributes:
            for told in (None, "", 7):
                damaged = dataset.copy()
                damaged[name].attrs = {**dataset[name].attrs, attribute: told}
                yield Damage(damaged, f"{name}: attribute flag_|{name}: attribute {attribute} is")
        damaged = dataset.copy()
        damaged[name].attrs = {**dataset[name].attrs, "units": "bit"}
        yield Damage(damaged, f"{name}: attribute units is 'bit', must be '{variable.units}'")


def coordinates_as_variables(dataset: xr.Dataset) -> Iterator[Damage]:
    for name in set(dataset.coords) - set(dataset.dims):
        yield Damage(dataset.reset_coords(name), f"{name}: is a data variable")


# values: of everything that a table measures


def values_lost(dataset: xr.Dataset) -> Iterator[Damage]:
    for _, variable in tables_of(dataset):
        for place in there(dataset, variable):
            damaged = at_place(dataset, variable.name, place, variable.missing)
            yield Damage(damaged, f"{variable.name}( at .*)?: .* is missing, but {variable.flag}")


def values_without_a_measurement(dataset: xr.Dataset) -> Iterator[Damage]:
    """No task has been done, and one value is there."""
    empty = dataset
    for table in present(dataset):
        for variable in (*table.measured, *table.bookkeeping):
            empty = everywhere(empty, variable.name, variable.missing)
    validate(empty)
    for _, variable in tables_of(dataset):
        for place in there(dataset, variable):
            value = dataset.variables[variable.name].values[place]
            damaged = at_place(empty, variable.name, place, value)
            yield Damage(damaged, f"{variable.name} at .* is there, but {variable.flag}")


def values_of_lower_precision(dataset: xr.Dataset) -> Iterator[Damage]:
    for table, variable in tables_of(dataset):
        if variable.float32_only and any(True for _ in there(dataset, variable)):
            precision = table.book("precision")
            damaged = everywhere(dataset, precision, "bfloat16")
            told = f"{variable.name} at .* is there, but {variable.flag} or {precision}"
            yield Damage(damaged, told)


def values_outside_their_bounds(dataset: xr.Dataset) -> Iterator[Damage]:
    view = View.of(dataset, declared(present(dataset)))
    chosen = [*(v for _, v in tables_of(dataset)), *(v for t in present(dataset) for v in t.given)]
    for variable in chosen:
        for place in there(dataset, variable):
            for value, told in outside(variable, view):
                damaged = at_place(dataset, variable.name, place, value)
                yield Damage(damaged, rf"{variable.name}( at .*)?: \S+ {re.escape(told)}")


def outside(variable: Variable, view: View) -> Iterator[tuple[float, str]]:
    bounds = variable.bounds
    if variable.dtype == "float64":
        yield np.inf, "is infinite"
    if bounds is None:
        return
    low = bounds.minimum if bounds.open_below else bounds.minimum - 1
    yield low - (low == variable.missing), bounds.told(view)
    if np.isfinite(greatest := bounds.greatest(view)):
        yield greatest + 1, bounds.told(view)


def values_that_rise(dataset: xr.Dataset) -> Iterator[Damage]:
    """Along a dimension of two entries, the second is above the first."""
    for _, variable in tables_of(dataset):
        if dim := variable.descends_along:
            values = dataset.variables[variable.name].values.copy()
            axis = variable.dims.index(dim)
            if values.shape[axis] < 2:
                continue
            for place in there(dataset, variable):
                first, second = list(place), list(place)
                first[axis], second[axis] = 0, 1
                damaged = values.copy()
                damaged[tuple(second)] = damaged[tuple(first)] + 1
                if values[tuple(second)] == variable.missing or np.isnan(values[tuple(second)]):
                    continue
                told = f"{variable.name} at .* rises along {dim}"
                yield Damage(with_values(dataset, variable.name, damaged), told)


def flags_that_cannot_stand(dataset: xr.Dataset) -> Iterator[Damage]:
    for table in present(dataset):
        for flag in table.flags:
            [place, *_] = np.argwhere(dataset.variables[flag.name].values == Flag.MEASURED.value)
            can = {Flag.MEASURED, Flag.NOT_MEASURED, Flag.FAILED, *flag.reasons}
            for value in (len(Flag), -1, *(other.value for other in set(Flag) - can)):
                damaged = at_place(dataset, flag.name, tuple(place), value)
                yield Damage(damaged, f"{flag.name}(: attribute| at .*: {value} is no flag)")


def tasks_flagged_as_not_done(dataset: xr.Dataset) -> Iterator[Damage]:
    for table in present(dataset):
        damaged = dataset
        for flag in table.flags:
            damaged = everywhere(damaged, flag.name, Flag.NOT_MEASURED.value)
        key = table.book("key")
        yield Damage(damaged, f"{key} at .* stands where {table.flags[0].name} says not measured")


def bookkeeping_that_does_not_agree(dataset: xr.Dataset) -> Iterator[Damage]:
    for table in present(dataset):
        key, failure, [first, *_] = table.book("key"), table.book("failure"), table.flags
        origin = (0,) * len(table.per)
        yield Damage(at_place(dataset, key, origin, ""), f"{key} at .* stands where")
        for entry in set(BOOKS) - {"key", "failure"}:
            name = table.book(entry)
            yield Damage(at_place(dataset, name, origin, ""), f"{name} at .* is empty, but {key}")
        damaged = at_place(dataset, failure, origin, "diverged")
        yield Damage(damaged, rf"{first.name} at .* is not failed, but {failure}")
        damaged = everywhere(dataset, first.name, Flag.FAILED.value)
        yield Damage(damaged, f"{failure} at .* is empty where {first.name} says failed")
        versions = table.book("versions")
        for text in ("numpy 2", "[1]"):
            damaged = at_place(dataset, versions, origin, text)
            yield Damage(damaged, rf"{versions}: '{re.escape(text)}' is no JSON of versions")


def values_against_their_rules(dataset: xr.Dataset) -> Iterator[Damage]:
    """For each rule, a change that this rule refuses; none where its variable cannot break it."""
    for table in present(dataset):
        for rule in table.rules:
            yield from islice(broken(dataset, table, rule), 1)


def broken(dataset: xr.Dataset, table: Table, rule: Rule) -> Iterator[Damage]:
    [variable] = [each for each in table.variables if each.name == rule.variable]
    view = View.of(dataset, declared(present(dataset)))
    values = dataset.variables[variable.name]
    right = xr.zeros_like(values, dtype=np.float64) + rule.right(view)
    right = right.transpose(*values.dims, ...)
    told = f"{variable.name} at .* {re.escape(rule.what)}"
    for place in there(dataset, variable):
        limits = [limit for limit in np.ravel(right.values[place]) if np.isfinite(limit)]
        steps = (1.0, -1.0) if variable.dtype == "int64" else (0.1, -0.1, 1e-6, 1.0)
        for value in (*(values.values[place] + s for s in steps), *(n + 1 for n in limits)):
            damaged = at_place(dataset, variable.name, place, value)
            try:
                validate(damaged)
            except SchemaError as error:
                if re.match(told, str(error)):
                    yield Damage(damaged, told)


# dimensions: of every one


def coordinates_out_of_order(dataset: xr.Dataset) -> Iterator[Damage]:
    for name, dimension in dimensions(present(dataset)).items():
        empty = dataset.isel({name: slice(0, 0)})
        yield Damage(empty, f"{name}: has no entry")
        twice = dataset.isel({name: [0, *range(dataset.sizes[name])]})
        said = {"labels": "(stands twice|does not follow)", "ascending": "does not rise",
                "counted": "breaks the count"}[dimension.order]  # fmt: skip
        yield Damage(twice, f"{name} at .* {said}")
        if dimension.order == "counted":
            yield Damage(labelled(dataset, name, lambda v: v - 1), f"{name} at .* count")
            yield Damage(labelled(dataset, name, lambda v: 2 * v), f"{name} at .* count")
        if dimension.known:
            strange = labelled(dataset, name, lambda v: np.array(["?", *v[1:]], object))
            yield Damage(strange, f"{name} at .* is none of")
        if dimension.known and dataset.sizes[name] > 1:
            yield Damage(dataset.isel({name: slice(None, None, -1)}), f"{name} at .* not follow")
        if (bounds := dimension.coordinate.bounds) is not None:
            whole = dimension.coordinate.dtype == "int64"
            above = bounds.maximum if bounds.open_above else bounds.maximum + 0.1
            beyond = (bounds.minimum - 0.1, above, np.nan)
            for value in (int(bounds.minimum) - 1,) if whole else beyond:
                damaged = labelled(dataset, name, lambda v, x=value: np.append(v[:-1], x))
                told = "(is outside|must be at least|is negative|does not rise)"
                yield Damage(damaged, f"{name} at .* {told}")
        for variable in dimension.described_by:
            if variable.bounds is not None:
                low = at_place(dataset, variable.name, (0,), variable.bounds.minimum - 1)
                yield Damage(low, f"{variable.name} at .* (must be at least|is outside)")


def labelled(
    dataset: xr.Dataset, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> xr.Dataset:
    found = dataset[name]
    return dataset.assign_coords({name: (name, change(found.values.copy()), found.attrs)})


KINDS = (
    lost_variables,
    other_types,
    other_dimensions,
    other_attributes,
    coordinates_as_variables,
    values_lost,
    values_without_a_measurement,
    values_of_lower_precision,
    values_outside_their_bounds,
    values_that_rise,
    flags_that_cannot_stand,
    tasks_flagged_as_not_done,
    bookkeeping_that_does_not_agree,
    values_against_their_rules,
    coordinates_out_of_order,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@FEW
@given(data=st.data())
def test_the_schema_rejects_each_kind_of_damage(
    kind: Callable[[xr.Dataset], Iterator[Damage]], data: st.DataObject
) -> None:
    """Of the tables of today, and of one more along a new dimension."""
    with mock.patch.dict(schema.TABLES, {DISTILLATION.name: DISTILLATION}):
        dataset = data.draw(whole_datasets())
        validate(dataset)
        refused(kind(dataset))


def test_every_rule_can_be_broken() -> None:
    """In one of a few datasets at least: a share of all cannot exceed another."""
    with mock.patch.dict(schema.TABLES, {DISTILLATION.name: DISTILLATION}):
        blank = blank_dataset({"a": (3, 3, 3, 3), "b": (4, 2, 4, 1)})
        datasets = [measured(blank, tasks(blank), np.random.default_rng(n)) for n in range(3)]
        for table in present(blank):
            for rule in table.rules:
                found = (islice(broken(each, table, rule), 1) for each in datasets)
                damages = list(islice(chain.from_iterable(found), 1))
                assert damages, f"nothing breaks the rule that {rule.variable} {rule.what}"
                refused(iter(damages))
