import pytest
from django.urls import reverse

from console.history import search
from console.runs import indexing, retention, word_index
from console.runs.models import Invocation, Run
from instances.access.models import Role
from tests.support import factories
from tests.support.runs import ended_run, send

pytestmark = pytest.mark.django_db


def read_all():
    while sum(1 for _ in indexing.index_next()):
        pass


@pytest.fixture
def look(client):
    client.force_login(factories.UserFactory(role=Role.VIEWER))
    return lambda words, **params: client.get(reverse("search-history"), {"q": words, **params})


def where(response):
    return [
        (of_run.run.pk, hit.line, hit.text) for of_run in response.context["found"].by_output for hit in of_run.hits
    ]


def test_a_word_leads_to_its_run_instance_and_line(look):
    run = ended_run(output=b"first\nnginx: Disk is FULL on /srv_1\nlast\n")
    read_all()
    response = look("full disk")
    assert where(response) == [(run.pk, 2, "nginx: Disk is FULL on /srv_1")]
    assert f"{reverse('run', args=[run.pk])}?i=0#L2" in response.content.decode()


@pytest.mark.parametrize(
    ("words", "is_found"),
    [
        ("ngin", True),
        ("DISK full", True),
        ("srv_1", True),
        ("0x80070005", True),
        ("grüße", True),
        ("disk empty", False),
        ("isk", False),
        ("on", True),
        ("o", False),
        ("", False),
        ("\" OR * ' : & | ! () \\", False),
        ("' & nginx:*", True),
    ],
)
def test_all_words_must_be_there_or_begin_so(words, is_found, look):
    ended_run(output="nginx: disk full on srv_1 0x80070005 Grüße\n".encode())
    read_all()
    assert bool(where(look(words))) == is_found


def test_a_command_is_found_by_its_words(look):
    run, _ = ended_run(command="systemctl restart nginx"), ended_run(command="true")
    read_all()
    assert [found.pk for found in look("nginx restart").context["found"].by_command] == [run.pk]


def test_what_is_not_read_yet_is_said(look):
    ended_run(output=b"needle\n")
    send(command="still waiting")
    response = look("needle")
    assert (where(response), response.context["found"].unread) == ([], 1)
    assert "cannot be searched yet" in response.content.decode()
    read_all()
    assert look("needle").context["found"].unread == 0


def test_output_is_text_and_never_markup(look):
    ended_run(output=b"<script>alert(1)</script> needle\n")
    read_all()
    page = look("needle").content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt; needle" in page
    assert "<script>alert" not in page


def test_only_what_one_may_see_is_found(client):
    group = factories.GroupFactory()
    mine, other = factories.InstanceFactory(name="mine", group=group), factories.InstanceFactory(name="canary")
    run = ended_run(2, output=b"needle\n", command="needle", instances=[mine, other])
    ended_run(output=b"needle\n", command="needle elsewhere")
    read_all()
    client.force_login(factories.UserFactory(role=Role.VIEWER, role_group=group))
    response = client.get(reverse("search-history"), {"q": "needle"})
    assert where(response) == [(run.pk, 1, "needle")]
    assert [found.pk for found in response.context["found"].by_command] == [run.pk]
    assert "canary" not in response.content.decode()
    assert "elsewhere" not in response.content.decode()


def test_of_one_run_a_few_are_shown_and_the_others_counted_and_one_goes_on(look, monkeypatch):
    monkeypatch.setattr(search, "HITS", 3)
    monkeypatch.setattr(search, "HITS_OF_A_RUN", 3)
    monkeypatch.setattr(search, "OPENED_AT_ONCE", 5)
    old, new = ended_run(2, output=b"needle\n"), ended_run(5, output=b"needle\n")
    read_all()
    found = look("needle").context["found"]
    assert [(of_run.run.pk, len(of_run.hits), of_run.more) for of_run in found.by_output] == [(new.pk, 3, 2)]
    following = look("needle", before=found.next_before).context["found"]
    assert [(of_run.run.pk, len(of_run.hits)) for of_run in following.by_output] == [(old.pk, 2)]
    assert following.next_before == 0


def test_what_retention_removes_is_found_no_more(look):
    run = ended_run(output=b"needle\n", command="needle")
    read_all()
    ids = list(run.invocations.values_list("pk", flat=True))
    for _ in retention.carry_out(retention.Plan(output_of=(run.pk,)), actor=None):
        pass
    assert word_index.having(word_index.Words.OF_OUTPUTS, {"needle"}, before=search.LATEST, limit=9) == []
    assert look("needle").context["found"].by_command == [run]
    for _ in retention.carry_out(retention.Plan(runs=(run.pk,)), actor=None):
        pass
    assert word_index.having(word_index.Words.OF_COMMANDS, {"needle"}, before=search.LATEST, limit=9) == []
    assert not Invocation.objects.filter(pk__in=ids).exists()


def test_of_a_run_that_is_removed_while_it_is_read_no_word_is_kept():
    run = ended_run(output=b"needle\n", command="needle")
    steps = indexing.index_next()
    assert next(steps) == 1
    for _ in retention.carry_out(retention.Plan(runs=(run.pk,)), actor=None):
        pass
    assert list(steps) == []
    for table in word_index.Words:
        assert word_index.having(table, {"needle"}, before=search.LATEST, limit=9) == []


def test_only_the_beginning_of_a_long_output_is_read(look, monkeypatch):
    monkeypatch.setattr(indexing, "INDEXED_BYTES", 20)
    ended_run(output=b"early needle\nand late needles\n")
    read_all()
    assert bool(where(look("early")))
    assert not where(look("late"))


def test_a_run_that_was_broken_off_is_read_again(look, monkeypatch):
    monkeypatch.setattr(indexing, "BATCH_INVOCATIONS", 2)
    run = ended_run(5, output=b"needle\n")
    steps = indexing.index_next()
    assert next(steps) == 2
    steps.close()
    assert Run.objects.get(pk=run.pk).indexed_at is None
    assert list(indexing.index_next()) == [2, 2, 1, 0]
    assert len(where(look("needle"))) == 5
    assert list(indexing.index_next()) == []


@pytest.mark.sqlite
def test_where_the_database_cannot_it_says_so_and_searches_commands(look, monkeypatch):
    monkeypatch.setattr(word_index, "is_available", lambda: False)
    run = ended_run(output=b"needle\n", command="find needle")
    read_all()
    response = look("needle")
    assert (where(response), response.context["found"].by_command) == ([], [run])
    assert "only commands are searched" in response.content.decode()


def test_a_long_line_is_cut_to_what_is_around_the_word(look):
    ended_run(output=b"x" * 5000 + b" needle " + b"y" * 5000)
    read_all()
    ((_, line, text),) = where(look("needle"))
    assert line == 1
    assert "needle" in text
    assert text.startswith("…")
    assert text.endswith("…")
    assert len(text) < 300


def test_words_are_cut_alike_whether_all_letters_are_ascii_or_not():
    every = " ".join(f"A{chr(number)}b" for number in range(128))
    assert word_index.words_of(every) == word_index.words_of(f"{every} ä") - {"ä"}
    assert word_index.words_of("Disk_full: 97%, /srv/x") == {"disk_full", "97", "srv", "x"}
