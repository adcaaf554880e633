from tests.support.audit import told

GOOD = {"name": "good", "version": "1", "vulns": []}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}
WEAK = {"name": "weak", "version": "2", "vulns": [{"id": "PYSEC-1"}]}


def test_a_known_weakness_fails_and_is_named(capsys):
    assert told([GOOD, WEAK, UNKNOWN]) == 1
    said = capsys.readouterr().out
    assert "weak 2" in said
    assert "2 of 3 dependencies audited, 1 with a weakness" in said


def test_what_could_not_be_audited_is_not_called_good(capsys):
    assert told([UNKNOWN, UNKNOWN]) == 0
    assert "0 of 2 dependencies audited" in capsys.readouterr().out
