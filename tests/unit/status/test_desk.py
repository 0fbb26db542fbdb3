"""Where questions are answered."""

from __future__ import annotations

import json
import logging

import pytest

from tests.unit.fake_time import Clock, Stage
from tests.unit.status.snapshots import domain, snapshot
from virt2.status import desk as desk_module
from virt2.status.desk import FRESH, Desk
from virt2.status.wire import QUESTIONS


class Taking:
    """Takes snapshots of a host, and counts them."""

    def __init__(self):
        self.count = 0
        self.domains = [domain("web"), domain("db", 2)]
        self.failure = None

    def __call__(self):
        self.count += 1
        if self.failure:
            raise self.failure
        return snapshot(*self.domains)


@pytest.fixture
def taking():
    return Taking()


@pytest.fixture
def clock():
    return Clock(Stage())


@pytest.fixture
def desk(taking, clock):
    return Desk(taking, clock)


def ask(desk, ask, **more):
    return json.loads(desk.reply(json.dumps({"ask": ask, **more}).encode()))


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_is_answered(desk, question):
    more = {"domain": "web"} if question == "explain" else {}
    assert ask(desk, question, **more)["answer"]


def test_what_is_no_question_is_told_and_takes_no_snapshot(desk, taking):
    assert "not JSON" in json.loads(desk.reply(b"hello"))["error"]
    assert taking.count == 0


def test_a_domain_that_nobody_knows_is_told(desk):
    assert "the nearest name is 'web'" in ask(desk, "explain", domain="wep")["error"]


def test_the_same_question_soon_gets_the_same_answer(desk, taking, clock):
    first = desk.reply(b'{"ask": "domains"}')
    taking.domains.pop()
    assert desk.reply(b'{"ask":"domains"}\n') == first
    assert taking.count == 1
    clock.now += FRESH
    assert len(ask(desk, "domains")["answer"]["domains"]) == 1
    assert taking.count == 2


def test_another_question_gets_an_answer_of_its_own(desk, taking):
    assert ask(desk, "explain", domain="web")["answer"]["domain"]["name"] == "web"
    assert ask(desk, "explain", domain="db")["answer"]["domain"]["name"] == "db"
    assert "domains" in ask(desk, "top")["answer"]
    assert taking.count == 3


def test_answers_are_forgotten_when_they_are_old(desk, clock):
    desk.reply(b'{"ask": "top"}')
    assert desk.tidy()
    clock.now += FRESH
    assert not desk.tidy()
    assert repr(desk) == "<Desk given=[]>"


def test_a_fault_is_told_to_the_client_and_said_once(desk, taking, caplog):
    taking.failure = KeyError("\x1b web")
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert "fault of its own" in ask(desk, "domains")["error"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert caplog.records[0].exc_info
    taking.failure = None
    assert ask(desk, "domains")["answer"]


def test_each_question_has_somebody_who_answers_it():
    assert {*desk_module.ANSWERS, "explain"} == set(QUESTIONS)
