from ClusterShell.NodeSet import NodeSet
from hypothesis import given, settings
from hypothesis import strategies as st

from console.results.folding import fold


def test_names_with_numbers_become_ranges():
    names = [f"web{number:02}" for number in range(1, 13)] + ["db-1", "db-3"]
    assert fold(names) == "db-[1,3],web[01-12]"


def test_a_name_of_any_form_is_taken():
    assert fold(["web1", "my box [old]", "web2", "@all", "a,b"]) == "web[1-2],@all,a,b,my box [old]"


def test_a_name_is_said_once():
    assert fold(["web1", "web1"]) == "web1"


@settings(deadline=None)
@given(st.lists(st.from_regex(r"\A[a-z]{1,3}-?[0-9]{0,3}(\.[a-z]{2})?\Z"), max_size=30))
def test_nothing_is_lost_and_nothing_is_added(names):
    assert set(NodeSet(fold(names))) == set(names)


def test_names_with_several_numbers_are_folded_while_they_are_few():
    assert fold([f"r{rack}-n{place}" for rack in (1, 2) for place in (1, 2)]) == "r[1-2]-n[1-2]"
    many = [f"r{number}-n{number * 7 % 100}" for number in range(300)]
    assert fold(many) == ",".join(sorted(many))
