"""What `penstock evaluate` reads and reckons."""

import json
from pathlib import Path
from xml.etree import ElementTree  # noqa: ICN001 - the module's own name

import numpy as np
import pytest
from typer.testing import CliRunner

from agents.deciding.features import EMBEDDED, PLAIN
from agents.deciding.text_form import FORM, text_form
from analytics.evaluating.figures import cheapest_mix, gap_of, oracle
from analytics.evaluating.outcome_file import BadOutcomes, read_outcomes
from analytics.evaluating.plots import plot
from analytics.evaluating.serving import Serving, world_of
from analytics.evaluating.task import Task
from streams.cli.main import app


def lines(count=120, strategies=("a", "b"), quality=lambda i, s: (i + len(s)) % 2, cost=0.001):
    yield "prompt_id,prompt,strategy,quality,cost_usd"
    for i in range(count):
        for place, name in enumerate(strategies):
            yield f"{i},what is {i} plus {i % 7}?,{name},{quality(i, name)},{cost * (place + 1)}"


def written(tmp_path, rows):
    path = tmp_path / "outcomes.csv"
    path.write_text("\n".join(rows))
    return path


def test_a_file_is_read_in_the_order_of_ids_with_all_strategies(tmp_path):
    read = read_outcomes(written(tmp_path, lines()))
    assert read.strategies == ("a", "b")
    assert read.quality.shape == read.cost_usd.shape == (120, 2)
    assert len(read_outcomes(written(tmp_path, lines(200)), limit=110)) == 110


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["prompt_id,prompt", "1,x"], "columns strategy, quality, cost_usd are missing"),
        ([*lines(), "999,only one,a,1,0.1"], "not exactly one row"),
        ([*lines(), "999,x,a,nan,0.1", "999,x,b,1,0.1"], "quality of prompt 999 under a is nan"),
        ([*lines(), "999,x,a,2,0.1", "999,x,b,1,0.1"], "quality of prompt 999 under a is 2.0"),
        ([*lines(), "999,x,a,1,-1", "999,x,b,1,0.1"], "cost_usd of prompt 999 under a is -1.0"),
        (list(lines(5)), "5 prompts"),
        (list(lines(strategies=("a",))), "1 strategies"),
        (list(lines(cost=0.0)), "every cost_usd is 0"),
        ([*lines(), "999,,a,1,0.1", "999,,b,1,0.1"], "no text"),
        ([*lines(), "999,x,a,good,0.1", "999,x,b,good,0.1"], "wrong type"),
    ],
)
def test_a_bad_file_is_refused_with_what_is_wrong(tmp_path, rows, said):
    with pytest.raises(BadOutcomes, match=said):
        read_outcomes(written(tmp_path, rows))


def test_a_file_that_is_not_there_or_not_readable_is_refused(tmp_path):
    with pytest.raises(BadOutcomes, match="no such file"):
        read_outcomes(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_text("not parquet")
    with pytest.raises(BadOutcomes, match="cannot be read"):
        read_outcomes(tmp_path / "bad.parquet")


def test_the_area_is_a_half_for_a_score_that_tells_nothing_and_more_for_the_oracle():
    chance = np.random.default_rng(0)
    weak, strong = chance.random(4000) < 0.5, chance.random(4000) < 0.8
    blind = gap_of(chance.random(4000), weak.astype(float), strong.astype(float))
    ideal = gap_of(strong.astype(float) - weak, weak.astype(float), strong.astype(float))
    assert blind is not None
    assert ideal is not None
    assert blind.apgr == pytest.approx(0.5, abs=0.08)
    assert ideal.apgr > 1.0
    assert ideal.cpt50 < ideal.cpt80 < blind.cpt80
    assert gap_of(weak.astype(float), strong.astype(float), weak.astype(float)) is None


def test_the_cheapest_mix_is_a_line_between_two_strategies():
    quality, cost = np.array([0.5, 0.9, 0.6]), np.array([1.0, 9.0, 8.0])
    assert cheapest_mix(quality, cost, 0.7) == pytest.approx(5.0)
    assert cheapest_mix(quality, cost, 0.4) == 1.0
    assert cheapest_mix(quality, cost, 0.95) == float("inf")


def test_the_oracle_takes_the_cheapest_of_the_best():
    found = oracle(np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 3.0], [1.0, 3.0]]))
    assert found["quality"] == 1.0
    assert found["saving"] == pytest.approx(1 / 3)


def test_a_plot_is_well_formed_and_shows_names_as_text():
    picture = plot("a < b", "x", "y", {"one & two": [(0.0, 0.0), (1.0, 2.0)]}, {"dots": [(0.5, 1.0)]})
    assert ElementTree.fromstring(picture).tag.endswith("svg")  # noqa: S314 - our own text


def test_the_form_of_any_text_has_a_number_for_each_name():
    for text in ("", " ", "def f():\n  return 1", "Is 3 + 4 = 7?", "\ud800", "x" * 10_000):
        assert len(text_form(text)) == len(FORM)
        assert np.isfinite(text_form(text)).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mode", "sideways"], "no mode 'sideways'"),
        (["--mode", "shift"], "needs --train"),
    ],
)
def test_a_wrong_option_ends_with_status_two_and_a_sentence(tmp_path, arguments, said):
    path = written(tmp_path, lines())
    result = CliRunner().invoke(app, ["evaluate", "--outcomes", str(path), *arguments])
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize("mode", ["offline", "online", "shift"])
def test_every_mode_measures_a_small_file_and_writes_figures_and_plots(tmp_path, monkeypatch, mode):
    models = Path(__file__).resolve().parents[2] / "var" / "models"
    if not (models / "manifest.json").is_file():
        pytest.skip("no prepared encoders: make setup")
    monkeypatch.setenv("PENSTOCK_VAR", str(tmp_path))
    monkeypatch.setenv("PENSTOCK_MODELS", str(models))
    chance = np.random.default_rng(1)
    path = written(tmp_path, lines(300, quality=lambda i, s: int(chance.random() < (0.9 if s == "b" else 0.6))))
    out, pictures = tmp_path / "out.json", tmp_path / "plots"
    train = ["--train", str(path)] if mode == "shift" else []
    result = CliRunner().invoke(
        app,
        [
            "evaluate",
            "--outcomes",
            str(path),
            "--mode",
            mode,
            "--seeds",
            "2",
            "--json",
            str(out),
            "--plot",
            str(pictures),
            *train,
        ],
    )
    assert result.exit_code == 0, result.output
    told = json.loads(out.read_text())
    wanted = {
        "offline": {"apgr", "cpt50", "cpt80", "quality_ratio", "saving", "random_mix_saving", "best_fixed", "oracle"},
        "online": {"regret", "gain_over_best_fixed", "reward", "quality_ratio", "saving"},
        "shift": {"worst_window_quality_ratio", "requests_to_detect", "saving"},
    }[mode]
    assert wanted <= told.keys()
    assert list(pictures.glob("*.svg"))


def test_the_serving_policy_is_frozen_for_the_estimates_and_explores_as_it_serves():
    chance = np.random.default_rng(2)
    features = chance.normal(0.0, 1.0, (150, PLAIN + EMBEDDED))
    quality = (chance.random((150, 3)) < (0.2, 0.5, 0.8)).astype(float)
    task = Task(("a", "b", "c"), features, quality, np.tile((0.001, 0.002, 0.01), (150, 1)))
    world = world_of(task, exchange=10.0)
    assert np.allclose(world.outcomes["value"], quality - 10.0 * task.cost_usd)
    settled = Serving(10.0, 0.06).learn(world, np.arange(120), np.random.default_rng(3))
    shares = settled.decide(features, 1.0)
    assert np.allclose(shares.sum(axis=1), 1.0)
    assert shares.min() >= 0.02 - 1e-12
    assert settled.decide(features, 100.0)[:, 2].mean() < shares[:, 2].mean()
