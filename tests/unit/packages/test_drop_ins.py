"""The drop-ins of the packages say the same as those of the checkout, and import nothing themselves."""

import drop_ins
import pytest

from tests.unit.config.test_samples import ROOT, SAMPLES, modules, tree
from virt2.config.reading import parse

LOAD = (ROOT / "packaging" / "load.conf").read_text()
TEXTS = drop_ins.texts()


def test_every_sample_has_one():
    assert sorted(TEXTS) == [path.name for path in SAMPLES]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_it_includes_what_loads_virt2_and_holds_the_same_options(path, tmp_path):
    text = TEXTS[path.name]
    include, plugin = tree(text)
    assert (include.key, include.values) == ("Include", (drop_ins.LOAD,))
    assert [node.key for node in plugin.children] == ["Module"]
    packaged = tmp_path / path.name
    packaged.write_text(text)
    assert parse(modules(packaged)) == parse(modules(path))
    assert text.startswith(path.read_text().split("\n\n")[0])


def test_what_they_include_loads_virt2_as_the_samples_do():
    load, plugin = tree(LOAD)
    sample_load, sample_plugin = tree(SAMPLES[0].read_text())
    assert load == sample_load
    assert plugin.children == [node for node in sample_plugin.children if node.key == "Import"]


@pytest.mark.parametrize("change", [("  Globals true\n", ""), ("LoadPlugin python", "LoadPlugin perl")])
def test_a_sample_that_loads_virt2_in_another_way_is_an_error(change):
    with pytest.raises(ValueError, match="0 times"):
        drop_ins.packaged(SAMPLES[0].read_text().replace(*change))
