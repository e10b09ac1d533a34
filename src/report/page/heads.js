// The heads of a layer's attention: one strip for each projection. Where query heads share keys and
// values, a strip of fewer, wider heads lies under those that share them.

const HEAD_MODULES = ['q_proj', 'k_proj', 'v_proj', 'o_proj'];

/** [{site, norms, bases, cosines}] of the projections of a layer that have heads. */
function headStrips(analysis, v, w, layer) {
  const vector = analysis.vectors[v];
  const pair = w === null ? null : analysis.pair(v, w);
  const strips = [];
  for (const site of analysis.sites) {
    if ((site.layer === null ? OUTSIDE : site.layer) !== layer) continue;
    const row = vector.tensors.get(site.name);
    if (!row || !row.heads || !Array.isArray(row.heads.norms) || row.heads.norms.length === 0) continue;
    // A bias has heads as well, but it is the weight's that one looks for.
    if (strips.some(strip => strip.site.module === site.module && (strip.site.elements || 0) >= (site.elements || 0)))
      continue;
    const pairRow = pair ? pair.tensors.get(site.name) : null;
    const strip = {
      site,
      norms: row.heads.norms.map(numberOf),
      bases: Array.isArray(row.heads.base_norms) ? row.heads.base_norms.map(numberOf) : null,
      cosines: pairRow && pairRow.heads && Array.isArray(pairRow.heads.cosines) ? pairRow.heads.cosines.map(numberOf) :
                                                                                  null
    };
    const same = strips.findIndex(known => known.site.module === site.module);
    if (same >= 0) strips[same] = strip;
    else strips.push(strip);
  }
  return strips.sort((a, b) => HEAD_MODULES.indexOf(a.site.module) - HEAD_MODULES.indexOf(b.site.module));
}

/** What a head is coloured by: the measure of the map, as far as heads have it. */
function headMeasure(strips) {
  const wanted = store.view.m;
  if (wanted === 'cosine' && strips.some(strip => strip.cosines))
    return {
      label: 'cosine of the two vectors',
      format: formatSigned,
      centre: 0,
      value: (strip, head) => strip.cosines ? strip.cosines[head] : null
    };
  if (wanted !== 'norm' && strips.every(strip => strip.bases))
    return {label: 'norm as a share of its base’s', format: formatPercent, centre: null, value: (strip, head) =>
      strip.bases[head] > 0 ? strip.norms[head] / strip.bases[head] : null};
  return {label: 'norm', format: formatNumber, centre: null, value: (strip, head) => strip.norms[head]};
}

function headsNow() {
  const analysis = analysisNow();
  const scope = scopeNow();
  if (!scope || scope.sites.length === 0) return null;
  const layer = scope.sites[0].layer;
  if (layer === null || scope.sites.some(site => site.layer !== layer)) return null;
  const strips = headStrips(analysis, store.view.v, partnerNow(), layer);
  // A cell without heads, of the MLP say, does not bring those of its neighbours along.
  const asked = scope.sites.map(site => site.module);
  if (!strips.some(strip => asked.includes(strip.site.module))) return null;
  return {layer, strips, asked};
}

function drawHeads(panel, {layer, strips, asked}) {
  const measure = headMeasure(strips);
  const width = panel.width();
  const most = Math.max(...strips.map(strip => strip.norms.length));
  const [left, stripHeight, gap] = [58, 22, 9];
  const scale = makeScale(strips.flatMap(strip => strip.norms.map((_, head) => measure.value(strip, head))), {
    log: store.view.log, clip: store.view.clip, centre: measure.centre, theme: themeNow()});
  const height = 20 + strips.length * (stripHeight + gap) + 50;
  const figure =
      svg('svg', {class: 'figure heads', width, height, role: 'group', 'aria-labelledby': `${panel.id}-title`});
  const cell = (width - left - 6) / most;
  for (let head = 0; head < most; ++head)
    if (cell > 15 || head % Math.ceil(18 / cell) === 0)
      figure.append(svg('text', {class: 'tiny', x: left + (head + 0.5) * cell, y: 12, 'text-anchor': 'middle'}, head));
  strips.forEach((strip, i) => {
    const y = 20 + i * (stripHeight + gap);
    const span = most / strip.norms.length;
    figure.append(
        svg('text', {
          class: 'label' + (asked.includes(strip.site.module) ? ' strong' : ''),
          x: left - 7,
          y: y + 15,
          'text-anchor': 'end'
        },
            shortened(strip.site.module, 9)));
    strip.norms.forEach((norm, head) => {
      const value = measure.value(strip, head);
      const rect = svg('rect', {
        class: 'cell head' + (value === null ? ' missing' : ''),
        x: left + head * span * cell,
        y,
        width: Math.max(0.8, span * cell - 1),
        height: stripHeight,
        rx: 1.5,
        fill: scale.colour(value),
        role: 'img',
        'aria-label': `${visible(strip.site.module)} head ${head}: ${measure.format(value)}`
      });
      withTip(rect, () => headContent(layer, strip, head, most));
      figure.append(rect);
    });
  });
  figure.append(
      colourLegend(scale, left, height - 44, Math.min(230, width - left - 10), measure.format, measure.label));
  stepThrough(figure, '.head', 'ArrowLeft', 'ArrowRight');
  setFigure(panel, figure);
  const fewest = Math.min(...strips.map(strip => strip.norms.length));
  panel.setNote(
      `${layerTitle(layer)}: ${plural(most, 'query head')}` +
      (fewest < most ? `; ${most / fewest} of them share each head of keys and values.` : '.'));
}

function headContent(layer, strip, head, most) {
  const lines = [['norm', exact(strip.norms[head])]];
  if (strip.bases) {
    lines.push(['base norm', exact(strip.bases[head])]);
    if (strip.bases[head] > 0) lines.push(['relative norm', exact(strip.norms[head] / strip.bases[head])]);
  }
  if (strip.cosines) lines.push(['cosine', exact(strip.cosines[head])]);
  const span = most / strip.norms.length;
  if (span > 1 && Number.isInteger(span))
    lines.push(['serves query heads', `${head * span} to ${(head + 1) * span - 1}`]);
  return [`${layerTitle(layer)} · ${visible(strip.site.module)} · head ${head}`, lines, 0];
}

function headsCsv() {
  const heads = headsNow();
  const rows = [['layer', 'module', 'head', 'norm', 'base_norm', 'cosine']];
  if (heads) for (const strip of heads.strips)
      strip.norms.forEach((norm, head) => rows.push([
        heads.layer, strip.site.module, head, norm, strip.bases ? strip.bases[head] : null,
        strip.cosines ? strip.cosines[head] : null
      ]));
  return rows;
}
