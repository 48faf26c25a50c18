"""Are two answers the same mathematics? Decisions against a table, the extraction of answers, and input that means harm.

rewards/answers/: `equivalent`, `decide`, `extract`. The table is tests/answer_pairs.py; the long run on a hundred thousand
hostile strings is bench/answers.py.
"""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.answers import SOUND, strings
from rewards.answers import MAX_CHARACTERS, decide, equivalent, extract, worker_pid
from tests.answer_pairs import COMMON, OTHER, SAME

pytestmark = pytest.mark.waits

CASES = [(a, b, expected) for table, expected in ((SAME, True), (OTHER, False)) for pairs in table.values() for a, b in pairs]


# -- decisions ---------------------------------------------------------------------------------------------------------


def test_the_table_is_as_large_and_as_varied_as_it_claims() -> None:
    assert len(CASES) >= 400
    assert len({frozenset((a, b)) for a, b, _ in CASES}) == len(CASES)
    assert min(sum(case[2] is expected for case in CASES) for expected in (True, False)) >= 200
    assert len({(a, b) for a, b, _ in COMMON}) == len(COMMON) == 100


@pytest.mark.slow  # half a minute of parsing
@pytest.mark.parametrize("swapped", [False, True])
def test_no_decision_of_the_table_is_wrong_and_few_are_left_open(swapped: bool) -> None:
    found = [(a, b, expected, decide(b, a) if swapped else decide(a, b)) for a, b, expected in CASES]
    assert [(a, b, got) for a, b, expected, got in found if got.equal is not None and got.equal != expected] == []
    undecided = [(a, b, got.why) for a, b, _, got in found if got.equal is None]
    assert [one for one in undecided if one[2] in ("time", "memory", "died")] == []
    assert len(undecided) <= 0.02 * len(CASES), undecided


def test_none_of_a_hundred_common_forms_is_left_open() -> None:
    assert [(a, b, got) for a, b, expected in COMMON if (got := equivalent(a, b)) is not expected] == []


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("5 students", "5 people"), ("203_7", "203"), ("2, 1", "(1, 2)"), (r"75^\circ", r"75^\circ, 75^\circ"), ("x^2 +", "x^2"),
        (r"\frac{1}{7}\triangle ABC", r"\frac{1}{7}"), ("", "5"), (" ", " "), ("1/0", "1/0 + 1"), (r"\infty - \infty", "0"),
        ("Anne is older than Bo", "Bo is older than Anne"), ("a couple", "2"), ("two out of three", "2"), ("11 apples", "1 1 apples"),
        ("R", r"\mathbb{R}"), ("all real numbers", "R"), ("3,5", "3.5"), ("1000,50", "1000.50"), ("0,5", r"\frac{1}{2}"), ("Jan", "January"),
        ("Sun", "Sunday"),
    ],
)  # fmt: skip
def test_what_the_answers_alone_do_not_tell_is_left_open(a: str, b: str) -> None:
    assert equivalent(a, b) is None
    assert equivalent(b, a) is None


def test_whatever_is_said_twice_in_the_same_words_is_the_same() -> None:
    assert equivalent("the 3rd of *May*, ?", "the 3rd of *May*, ?") is True


def test_six_decimals_stand_for_a_number_without_end_and_fewer_do_not() -> None:
    assert equivalent("0.333333", "1/3") is True
    assert equivalent("0.33333", "1/3") is False
    assert equivalent("0.666666", "2/3") is False  # cut, not rounded
    assert equivalent("3.141593", r"\pi") is True
    assert equivalent("3.14159", r"\pi") is False
    assert equivalent("0.1234567", "0.12345671") is False  # both come to an end


# -- input that means harm ----------------------------------------------------------------------------------------------

HOSTILE = (
    "9**9**9", "9**9**9**9", "9^{9^{9}}", "10^(10^(10^10))", "2^{2^{2^{2^{100}}}}", "((((((((((((((1))))))))))))))", "(" * 500 + ")" * 500, "(" * 900,
    r"\frac{" * 150, r"\sqrt{" * 100 + "2" + "}" * 100, "1000000!", "((10!)!)!", "1e999999999", r"\sum_{k=1}^{1000000000} k!", r"\binom{1000000}{500000}",
    "[[[[[[[[1]]]]]]]]", "[0]*10**10", "__import__('os').system('touch {0}')", "import os; os.system('touch {0}')", "eval(\"open('{0}', 'w')\")",
    "lambda x: x", "while True: pass", "\x00", "\ud83d", "💥" * 50, "x" * 2_000, "1+" * 600 + "1", "1" * 5000, r"\begin{pmatrix}", "====", "1/0", "0/0",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:24]))
def test_harm_neither_runs_nor_hangs_nor_is_called_wrong(text: str, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    text = text.replace("{0}", str(touched))
    started = time.monotonic()
    for sound in ("1", "x^2"):
        assert equivalent(text, sound, limit_s=0.5) is None
        assert equivalent(sound, text, limit_s=0.5) is None
    assert time.monotonic() - started < 4 * 10
    assert not touched.exists()
    assert equivalent(r"\sqrt{8}", r"2\sqrt{2}") is True  # the next one is none the worse for it


def test_what_takes_too_long_is_said_to_have() -> None:
    assert decide("x^{100}-x-1=0", "(1,2)", limit_s=0.2) == (None, "time")
    assert decide("x" * (MAX_CHARACTERS + 1), "1") == (None, "too_long")


def test_a_worker_that_others_kill_is_replaced_and_decides_all_the_same() -> None:
    assert equivalent(r"\sqrt{12}", r"2\sqrt{3}") is True
    first = worker_pid()
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert equivalent(r"\sqrt{12}", r"2\sqrt{3}") is True
    assert worker_pid() not in (None, first)


def test_a_fork_starts_a_worker_of_its_own_and_leaves_its_parent_s_alone() -> None:
    assert equivalent(r"\sqrt{12}", r"2\sqrt{3}") is True
    first = worker_pid()
    if (child := os.fork()) == 0:
        right = equivalent(r"\sqrt{20}", r"2\sqrt{5}") is True and worker_pid() not in (None, first)
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert equivalent(r"\sqrt{12}", r"2\sqrt{3}") is True
    assert worker_pid() == first


def test_threads_share_the_worker() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: equivalent(rf"\sqrt{{{n * n * 2}}}", rf"{n}\sqrt{{2}}"), range(2, 34)))
    assert found == [True] * 32


@pytest.mark.slow
def test_random_and_hostile_strings_do_no_harm() -> None:
    """A small share of bench/answers.py's hundred thousand."""
    for index, text in enumerate(strings(1000, seed=7)):
        started = time.monotonic()
        decide(text, SOUND[index % len(SOUND)], limit_s=0.5)
        assert time.monotonic() - started < 10
    status = Path(f"/proc/{worker_pid()}/status").read_text()
    assert int(status.split("VmRSS:")[1].split()[0]) < 512 * 1024


# -- which answer a solution gives --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        (r"So it is $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"First \boxed{3}, no: \boxed{4}.", "4"),
        (r"\boxed{\text{a set } \{1, \{2\}\}}", r"\text{a set } \{1, \{2\}\}"),
        (r"\fbox{7} it is", "7"),
        (r"It is \boxed 5 here", "5"),
        (r"an open \boxed{\frac{1}{2} and the answer is 9", "9"),
        ("She has 4 left.\n#### 1,234", "1,234"),
        ("#### 5\nwait\n#### 6", "6"),
        ("16 - 3 = 13\nA: 13", "13"),
        ("Answer: (C)\n", "(C)"),
        ("**Answer:** 12 apples", "12 apples"),
        ("The answer is 42. I hope it helps.", "42"),
        ("The final answer is: $3.50.", "$3.50"),
        ("the answer is 5, because 2 + 3 = 5.", "5, because 2 + 3 = 5"),
        (r"Therefore the answer is $x = 2$.", "$x = 2$"),
        ("We get 3 and then 4 in total", "4"),
        ("That costs $1,250.75 in all", "$1,250.75"),
        ("It went down by -3", "-3"),
        ("about 3/4 of it", "3/4"),
        ("a quarter, that is 25%.", "25%"),
        ("It ends at 5.", "5"),
    ],
)
def test_the_final_answer_is_found(solution: str, answer: str) -> None:
    assert extract(solution) == answer


@pytest.mark.parametrize("solution", ["", "no idea", "\\boxed{", "####", "the answer is"])
def test_a_solution_without_an_answer_has_none(solution: str) -> None:
    assert extract(solution) is None


def test_extraction_is_quick_on_any_length() -> None:
    started = time.process_time()
    for piece in ("\\boxed{", "answer is ", "#### ", "1,", "((", "A: ", "9" * 10, "\\fbox {{"):
        extract(piece * 10_000)
    for start in ("the answer is", "Answer:", "####", "the answer (final) is", "$", "A:**"):
        extract(f"{start}{' ' * 100_000}\n")  # a model that writes blanks until it is stopped
    assert time.process_time() - started < 5


# -- real solutions -----------------------------------------------------------------------------------------------------

MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


def test_every_released_gsm8k_solution_is_judged_as_its_authors_judged_it(data_folder: Path) -> None:
    agreed, others = 0, []
    for line in (data_folder / "gsm8k" / "example_model_solutions.jsonl").open():
        row = json.loads(line)
        reference = extract(row["ground_truth"])
        assert reference is not None
        for model in MODELS:
            given = extract(row[model]["solution"])
            found = equivalent(given, reference) if given is not None else False
            agreed += found is row[model]["is_correct"]
            if found is not row[model]["is_correct"]:
                others.append((given, reference, found))
    assert others == []
    assert agreed == 5276
