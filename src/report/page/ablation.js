// One ablation: its families of arms, its metrics, and where each arm belongs beside the layers.

// A sweep's arms are whole vectors as well, but at a scale each, and what one looks for.
const isControl = arm => arm.family === 'controls';

/** The layer (or OUTSIDE) that an arm stands beside; null for parts that are not layers. */
function layerOfArm(arm) {
  const part = arm.part || '';
  if (/^outside\b/.test(part)) return OUTSIDE;
  const single = /^layer=(\d{1,6})$/.exec(part);
  if (single) return Number(single[1]);
  const upTo = /^layer=0-(\d{1,6})$/.exec(part);
  if (upTo && arm.kind === 'bottom-up') return Number(upTo[1]);
  const from = /^layer=(\d{1,6})-$/.exec(part);
  return from && arm.kind === 'top-down' ? Number(from[1]) : null;
}

function effectOf(metric) {
  const effect = metric && metric.effect;
  if (!effect) return null;
  const interval = Array.isArray(effect.interval_95) ? effect.interval_95.map(numberOf) : null;
  return {
    difference: numberOf(effect.difference),
    low: interval && interval[0] !== null && Number.isFinite(interval[0]) ? interval[0] : null,
    high: interval && interval[1] !== null && Number.isFinite(interval[1]) ? interval[1] : null,
    p: numberOf(effect.p), pHolm: numberOf(effect.p_holm), gained: numberOf(effect.gained), lost: numberOf(effect.lost),
    smallest: numberOf(effect.smallest_detectable), reference: numberOf(effect.reference_value),
  };
}

class Ablation {
  constructor(source, result) {
    this.source = source;
    this.protocol = result.protocol || {};
    this.statistics = result.statistics || {};
    this.tasks = result.tasks || [];
    this.arms = result.arms || [];
    this.metrics = [];
    const first = this.arms.find(arm => (arm.metrics || []).length > 0);
    (first ? first.metrics : []).forEach((metric, at) => this.metrics.push({
      at, task: metric.task, metric: metric.metric, filter: metric.filter, isShare: Boolean(metric.is_share),
      higherIsBetter: metric.higher_is_better !== false,
    }));
    this.controls = this.arms.filter(isControl);
    this.families = [];
    for (const arm of this.arms) {
      if (isControl(arm)) continue;
      let family = this.families.find(known => known.name === arm.family);
      if (!family) this.families.push(family = {name: arm.family, arms: [], reference: arm.reference, byLayer: true});
      family.arms.push(arm);
      if (layerOfArm(arm) === null) family.byLayer = false;
    }
    if (this.families.length === 0 && this.controls.length > 0)
      this.families.push({name: 'controls', arms: [], reference: 'target', byLayer: false});
    this.metricByDefault = this.pickMetric();
  }

  // Continuous measures tell layers apart with fewer records than right or wrong does.
  pickMetric() {
    const spread = metric => new Set((this.families[0] || {arms: []}).arms
      .map(arm => numberOf(((arm.metrics || [])[metric.at] || {}).value))).size;
    const primary = this.metrics.find(
        metric => this.tasks.some(task => task.task === metric.task && task.primary_metric === metric.metric));
    if (primary && spread(primary) > 2) return primary.at;
    const telling = this.metrics.find(metric => !metric.isShare);
    return (telling || primary || {at: 0}).at;
  }

  layers() {
    const found = new Set(this.arms.map(layerOfArm).filter(layer => layer !== null));
    const numbers = [...found].filter(layer => layer !== OUTSIDE).sort((a, b) => a - b);
    return found.has(OUTSIDE) ? [...numbers, OUTSIDE] : numbers;
  }

  value(arm, metric) {
    return numberOf(((arm.metrics || [])[metric] || {}).value);
  }

  effect(arm, metric) {
    return effectOf((arm.metrics || [])[metric]);
  }

  /** 'gain', 'loss' or 'none': what the effect means for the score after Holm's correction. */
  verdict(effect, metric) {
    if (!effect || effect.pHolm === null || !(effect.pHolm < 0.05) || !effect.difference) return 'none';
    return (effect.difference > 0) === this.metrics[metric].higherIsBetter ? 'gain' : 'loss';
  }

  format(metric) {
    return this.metrics[metric] && this.metrics[metric].isShare ? formatPoints : formatSigned;
  }

  formatValue(metric) {
    return this.metrics[metric] && this.metrics[metric].isShare ? formatPercent : formatNumber;
  }

  metricName(metric) {
    const known = this.metrics[metric];
    if (!known) return '';
    return `${visible(known.task)} · ${visible(known.metric)}${
        known.filter && known.filter !== 'none' ? ` (${visible(known.filter)})` : ''}`;
  }

  lines(arm, metric) {
    const effect = this.effect(arm, metric);
    const lines = [['value', exact(this.value(arm, metric))]];
    if (effect) {
      lines.push([`less ${visible(arm.reference || 'reference')}`, exact(effect.difference)]);
      lines.push(['95 % interval', effect.low === null ? 'none' : `${exact(effect.low)} to ${exact(effect.high)}`]);
      lines.push(['p, after Holm', `${exact(effect.p)}, ${exact(effect.pHolm)}`]);
      if (effect.gained !== null) lines.push(['gained, lost', `${exact(effect.gained)}, ${exact(effect.lost)}`]);
      lines.push(['smallest that shows', exact(effect.smallest)]);
    }
    if (arm.realised) lines.push(['realised cosine', exact(numberOf(arm.realised.cosine))]);
    if (arm.same_weights_as) lines.push(['same weights as', visible(arm.same_weights_as)]);
    return lines;
  }
}
