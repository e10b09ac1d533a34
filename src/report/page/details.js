// What is chosen, closely: its numbers, its tensors, its histogram, heads and spectrum.

function makeDetails(host) {
  const title = html('h2', {id: 'details-title'});
  const back = html('button', {type: 'button', class: 'quiet', onclick: goBack}, 'back (Esc)');
  const numbers = html('div', {});
  const tensors = html('ul', {class: 'tensor-list'});
  const head = html('section', {class: 'panel', id: 'details', 'aria-labelledby': 'details-title'},
    html('div', {class: 'panel-head'}, title, back), numbers, tensors);
  host.append(head);
  const histogram = makePanel(host, {id: 'histogram', title: 'Sizes of the changes', csv: histogramCsv, level: 3});
  const heads = makePanel(host, {id: 'heads', title: 'Heads', csv: headsCsv, level: 3});
  const spectrum = makePanel(host, {id: 'spectrum', title: 'Spectrum', csv: spectrumCsv, level: 3});

  const draw = () => {
    const scope = scopeNow();
    host.hidden = !scope;
    if (!scope) return;
    title.replaceChildren(scope.kind === 'tensor' ? nameOf(scope.title) : scope.title);
    back.hidden = scope.kind === 'all';
    numbers.replaceChildren(scope.row ? scopeNumbers(scope) : emptyText('This vector has no such tensor.'));
    listTensors(tensors, scope);
    histogram.setShown(Boolean(scope.row));
    if (scope.row) drawHistogram(histogram, scope.row);
    const found = headsNow();
    heads.setShown(Boolean(found));
    if (found) drawHeads(heads, found);
    showSpectrum(spectrum, scope);
  };
  whenChanged(['an', 'v', 'w', 'm', 'log', 'clip', 'sel', 'at', 't', 'th'], draw);
  return {draw};
}

function showSpectrum(panel, scope) {
  const isNarrow =
      scope.kind === 'tensor' || (scope.kind === 'place' && scope.place.layer !== null && scope.place.module !== null);
  const found = spectrumNow();
  const isMatrix = scope.sites.some(site => Array.isArray(site.shape) && site.shape.length === 2);
  panel.setShown(isNarrow && (Boolean(found) || isMatrix));
  if (!isNarrow || !(found || isMatrix)) return;
  if (found) {
    drawSpectrum(panel, found);
    return;
  }
  panel.setNote('');
  panel.body.replaceChildren(emptyText(
      scope.sites.some(site => (analysisNow().vectors[store.view.v].tensors.get(site.name) || {}).spectrum) ?
          'Several matrices lie here: choose one of them above.' :
          'Not computed: run suture analyze with --spectrum.'));
}

function scopeNumbers({row, pair, sites}) {
  const value = (key, format) => format(numberOf(row[key]));
  const entries = [
    ['norm', value('norm', formatNumber)],
    ['relative norm', value('relative_norm', formatPercent)],
    ['RMS', value('rms', formatNumber)],
    ['largest', value('max', formatNumber)],
    ['changed', value('changed', formatPercent)],
    [
      'elements', formatCount(numberOf(row.elements)),
      sites.length > 1 ? `in ${plural(sites.length, 'tensor')}` : formatShape((sites[0] || {}).shape)
    ],
  ];
  if (row.realised) entries.push(
    ['realised norm', formatNumber(ratio(row.realised.realised_norm, row.realised.wanted_norm)), 'of the norm wanted'],
    ['realised cosine', formatNumber(numberOf(row.realised.cosine))]);
  if (pair)
    entries.push(
        [
          'cosine', formatSigned(numberOf(pair.cosine)),
          `with ${shortened(analysisNow().vectors[partnerNow()].name, 20)}`
        ],
        [
          'signs agree', formatPercent(numberOf(pair.sign_agreement)),
          `chance ${formatPercent(numberOf(pair.sign_agreement_by_chance))}`
        ]);
  const list = numbersList(entries);
  list.tabIndex = 0;
  return withTip(list, () => [scopeNow().title, exactLines({row, pair})]);
}

const LISTED_TENSORS = 12;

function listTensors(list, scope) {
  const few = scope.kind === 'place' && scope.sites.length > 0 && scope.sites.length <= LISTED_TENSORS;
  list.hidden = !few;
  list.replaceChildren(
      ...(few ? scope.sites.map(
                    site => html(
                        'li', {},
                        html(
                            'button', {type: 'button', class: 'link', onclick: () => setView({t: site.name})},
                            nameOf(shortened(site.name, 64)), html('small', {}, ` ${formatShape(site.shape)}`)))) :
                []));
}

/** One step back: from a tensor to its place, from a place to the whole, then out of the selection. */
function goBack() {
  const {t, at, sel} = store.view;
  if (t !== null) setView({t: null});
  else if (at !== null) setView({at: null});
  else if (sel !== '') setView({sel: ''});
}
