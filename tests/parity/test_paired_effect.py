"""Paired comparisons against scipy and statsmodels."""

import json
import math
import subprocess

import numpy as np
import pytest
from scipy import integrate, optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from conftest import SUTURE

PROBE = SUTURE.parent / "statistics_probe"


def ask(requests):
    texts = [{key: [repr(float(x)) for x in value] if isinstance(value, (list, np.ndarray)) else value
              for key, value in request.items()} for request in requests]
    done = subprocess.run([PROBE], input=json.dumps(texts), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def close(value, rel=1e-9):
    return pytest.approx(value, rel=rel, abs=0)


def pairs(random, kind, n):
    if kind == "share":
        reference = (random.random(n) < random.random()).astype(float)
        flipped = random.random(n) < random.choice([0.01, 0.1, 0.4, 0.9])
        return np.where(flipped, 1 - reference, reference), reference
    reference = random.normal(size=n) * 10 ** random.uniform(-6, 6)
    return reference + random.gumbel(random.normal(), 1, size=n) * 10 ** random.uniform(-6, 6), reference


def comparisons(kind, sizes):
    random = np.random.default_rng(7)
    requests = []
    for n in sizes:
        for family in (1, 2, 24, 400):
            arm, reference = pairs(random, kind, n)
            requests.append({"arm": arm, "reference": reference, "kind": kind, "family": family})
    return list(zip(requests, ask(requests), strict=True))


MEANS = comparisons("mean", [2, 3, 4, 7, 30, 31, 200, 2000, 20000]) if PROBE.exists() else []
SHARES = comparisons("share", [1, 2, 5, 6, 10, 30, 77, 200, 1319]) if PROBE.exists() else []


def test_the_probe_was_built():
    assert MEANS and SHARES


def test_means_by_the_paired_t_test():
    for request, effect in MEANS:
        arm, reference = request["arm"], request["reference"]
        expected = stats.ttest_rel(arm, reference)
        interval = expected.confidence_interval()
        difference, spread = (arm - reference).mean(), (arm - reference).std(ddof=1)
        assert effect["n"] == len(arm)
        assert effect["mean_arm"] == pytest.approx(arm.mean(), rel=1e-9, abs=1e-12 * np.abs(arm).max())
        assert effect["difference"] == pytest.approx(difference, rel=1e-9, abs=1e-12 * spread)
        assert effect["standard_error"] == close(spread / math.sqrt(len(arm)))
        assert effect["p_value"] == close(expected.pvalue)
        slack = 1e-12 * np.abs(arm - reference).max()
        assert effect["interval"] == [pytest.approx(bound, rel=1e-9, abs=slack) for bound in (interval.low, interval.high)]


def test_p_values_far_out():
    requests = [{"arm": [shift + x for x in (-1.0, 0.0, 1.0) * 10], "reference": [0.0] * 30, "kind": "mean", "family": 1}
                for shift in (1e-12, 0.5, 4.0, 1e3, 1e9)]
    for request, effect in zip(requests, ask(requests), strict=True):
        assert effect["p_value"] == close(stats.ttest_rel(request["arm"], request["reference"]).pvalue)


def power_of_t_test(size, n, level):
    """By its definition: over the distribution of the standard deviation, that of the mean is normal."""
    freedom, critical = n - 1, stats.t.isf(level / 2, n - 1)
    chi = stats.chi(freedom, scale=1 / math.sqrt(freedom))

    def shown(s):
        return (stats.norm.sf(critical * s - size * math.sqrt(n)) + stats.norm.cdf(-critical * s - size * math.sqrt(n))) * chi.pdf(s)

    ends = [chi.ppf(1e-15), size * math.sqrt(n) / critical, chi.isf(1e-15)]
    return sum(integrate.quad(shown, low, high, epsabs=1e-12, epsrel=1e-12, limit=500)[0]
               for low, high in zip(sorted(ends), sorted(ends)[1:]))


@pytest.mark.filterwarnings("ignore")
def test_the_smallest_detectable_mean():
    solved_by_both = 0
    for request, effect in MEANS:
        n, level = effect["n"], 0.05 / request["family"]
        size = effect["smallest_detectable"] / (effect["standard_error"] * math.sqrt(n))
        if n < 1000:
            assert power_of_t_test(size, n, level) == close(0.8, rel=1e-7), (n, level)
        # With few records or small levels statsmodels may not converge, or be told NaN by scipy: its own power tells.
        theirs = TTestPower()
        solved = theirs.solve_power(nobs=n, alpha=level, power=0.8, alternative="two-sided")
        if theirs.power(solved, n, level) == close(0.8, rel=1e-6):
            assert size == close(solved, rel=1e-6), (n, level)
            solved_by_both += 1
    assert solved_by_both >= 8


def test_shares_by_the_exact_mcnemar_test():
    for request, effect in SHARES:
        arm, reference = request["arm"], request["reference"]
        table = [[np.sum((arm == i) & (reference == j)) for j in (1, 0)] for i in (1, 0)]
        gained, lost, n = int(table[0][1]), int(table[1][0]), len(arm)
        assert (effect["n"], effect["gained"], effect["lost"], effect["non_finite"]) == (n, gained, lost, 0)
        assert effect["difference"] == pytest.approx((gained - lost) / n, rel=1e-12, abs=1e-15)
        assert effect["p_value"] == close(mcnemar(table, exact=True).pvalue)


def test_intervals_of_shares_by_their_defining_equation():
    for _, effect in SHARES:
        # The normal interval of a sample to which a record of each way to differ was added.
        extended = np.zeros(effect["n"] + 2)
        extended[: effect["gained"] + 1] = 1
        extended[effect["gained"] + 1 : effect["gained"] + effect["lost"] + 2] = -1
        error = extended.std() / math.sqrt(len(extended))
        assert effect["standard_error"] == close(error)
        low, high = stats.norm.interval(0.95, extended.mean(), error)
        assert effect["interval"] == pytest.approx([max(-1, low), min(1, high)], rel=1e-9, abs=1e-12)


def power_of_mcnemar(difference, discordance, n, level):
    """Over how many records differ, and how many of them for the better."""
    gain = (1 + difference / discordance) / 2
    power = 0
    for count in range(1, n + 1):
        gained = np.arange(count + 1)
        flagged = 2 * stats.binom.cdf(np.minimum(gained, count - gained), count, 0.5) <= level
        power += stats.binom.pmf(count, n, discordance) * stats.binom.pmf(gained, count, gain)[flagged].sum()
    return power


def test_the_smallest_detectable_share():
    seen = 0
    for request, effect in SHARES:
        n, level = effect["n"], 0.05 / request["family"]
        if n > 100:
            continue
        discordance = (effect["gained"] + effect["lost"] + 2) / (n + 2)

        def lacking(difference):
            return power_of_mcnemar(difference, min(1, max(difference, discordance)), n, level) - 0.8

        if effect["smallest_detectable"] is None:
            assert lacking(1) < 0
            continue
        seen += 1
        assert effect["smallest_detectable"] == close(optimize.brentq(lacking, 1e-9, 1, xtol=1e-13, rtol=1e-13), rel=1e-8)
    assert seen > 10


def test_edge_cases():
    none = {"arm": [0.3, 0.1], "reference": [0.3, 0.1], "kind": "mean", "family": 3}
    some = {"arm": [2.0, 3.0], "reference": [1.0, 2.0], "kind": "mean", "family": 3}
    single = {"arm": [2.0], "reference": [1.0], "kind": "mean", "family": 1}
    endless = {"arm": [-math.inf, 1.0, math.nan], "reference": [-math.inf, 2.0, 1.0], "kind": "mean", "family": 1}
    answers = ask([none, some, single, endless])
    assert [answer["p_value"] for answer in answers] == [1, 0, None, None]
    assert [answer["interval"] for answer in answers] == [[0, 0], [1, 1], None, None]
    assert [answer["smallest_detectable"] for answer in answers] == [0, 0, None, None]
    assert [answer["non_finite"] for answer in answers] == [0, 0, 0, 2]


def test_holm():
    random = np.random.default_rng(3)
    families = [random.random(m) ** random.integers(1, 9) for m in (1, 2, 5, 24, 300)]
    families += [np.round(random.random(40), 1), np.zeros(5), np.ones(5), np.array([1e-300, 0.5, 0, 1]), np.full(7, 0.05)]
    for family, adjusted in zip(families, ask([{"holm": family} for family in families]), strict=True):
        assert adjusted == pytest.approx(multipletests(family, method="holm")[1], rel=1e-12, abs=0)
