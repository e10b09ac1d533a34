// Starts the page. The scripts are one, in this order:
//   dom format colour selection_text data measures ablation address store tooltip export panel axes
//   heatmap heatmap_input effects effect_size profile compare histogram heads spectrum details table
//   provenance toolbar keys explore explore_answers main

/** One line that says what was found. */
function summaryText() {
  const {analyses, ablations} = store.model;
  const parts = [];
  const analysis = analyses[0];
  if (analysis) {
    for (const vector of analysis.vectors.slice(0, 3)) {
      const total = vector.total;
      const relative = numberOf(total.relative_norm);
      parts.push([
        nameOf(shortened(vector.name, 60)),
        ` norm ${formatNumber(numberOf(total.norm))}` +
            (relative === null ? '' : `, ${formatPercent(relative)} of its base`) +
            `; ${formatPercent(numberOf(total.changed))} of ${formatCount(numberOf(total.elements))} elements changed`
      ]);
    }
    if (analysis.vectors.length > 3) parts.push([`and ${plural(analysis.vectors.length - 3, 'more vector')}`]);
  }
  const ablation = ablations[0];
  if (ablation) {
    const metric = ablation.metricByDefault;
    const valueOf = kind => {
      const arm = ablation.controls.find(control => control.kind === kind);
      return arm ? ablation.value(arm, metric) : null;
    };
    const [before, after] = [valueOf('target'), valueOf('vector')];
    const format = ablation.formatValue(metric);
    const family = ablation.families.find(known => known.byLayer);
    const real = family ?
        family.arms.filter(arm => ablation.verdict(ablation.effect(arm, metric), metric) !== 'none').length :
        0;
    parts.push(
        [`${ablation.metricName(metric)}: ` +
         (before === null    ? visible(ablation.source) :
              after === null ? `${format(before)} without the vector` :
                               `${format(before)} without and ${format(after)} with the vector`) +
         (family ? `; ${real} of ${family.arms.length} parts by layer matter` : '')]);
  }
  return parts;
}

function makeHeader(host) {
  const {payload} = store.model;
  const theme = html('button', {type: 'button', class: 'quiet', id: 'theme', onclick: nextTheme});
  const help = html('button', {type: 'button', class: 'quiet', id: 'help'}, 'keys ?');
  const warnings = (payload.warnings || []).length;
  host.append(html(
      'header', {class: 'masthead'},
      html(
          'div', {class: 'masthead-line'}, html('h1', {}, nameOf(payload.title || 'Suture')),
          html('div', {class: 'masthead-tools'}, help, theme)),
      html('ul', {class: 'summary'}, ...summaryText().map(parts => html('li', {}, ...parts))),
      warnings ? html(
                     'p', {class: 'warning-line'},
                     html(
                         'a', {
                           href: '#provenance',
                           onclick: event => {
                             event.preventDefault();
                             document.getElementById('provenance').scrollIntoView();
                           }
                         },
                         plural(warnings, 'warning')),
                     ': ', nameOf(shortened(payload.warnings[0], 160))) :
                 null));
  whenChanged(['th'], () => {
    applyTheme();
    theme.textContent = {auto: 'theme: system', light: 'theme: light', dark: 'theme: dark'}[store.view.th];
  });
  return {help, draw: () => {}};
}

function start() {
  store.model = readPayload(document.getElementById('data').textContent);
  store.view = validView(readAddress(location.hash));
  document.title = visible(store.model.payload.title || 'Suture');
  applyTheme();
  makeTip();
  const page = document.getElementById('page');
  const header = makeHeader(page);
  const bars = html('div', {class: 'bars'});
  const live = html('div', {});
  const stage = html('div', {class: 'stage'});
  const figures = html('div', {class: 'figures'});
  const pair = html('div', {class: 'pair'});
  const details = html('aside', {class: 'details', 'aria-label': 'Details'});
  const below = html('div', {class: 'below'});
  figures.append(pair);
  stage.append(figures, details);
  page.append(bars, html('main', {}, live, stage, below));

  const views = {};
  views.toolbar = makeToolbar(bars);
  views.selection = makeSelectionBar(bars);
  views.map = makeHeatmap(pair);
  views.effects = makeEffects(pair);
  views.profile = makeProfile(figures);
  views.size = makeEffectSize(figures);
  views.details = makeDetails(details);
  views.compare = makeCompare(below);
  views.table = makeTable(below);
  makeProvenance(below);
  stage.classList.toggle('with-effects', store.model.ablations.length > 0 && store.model.analyses.length > 0);
  stage.classList.toggle('without-details', store.model.analyses.length === 0);
  header.help.addEventListener('click', makeKeys(views));
  redraw(null);
  makeExplore(live);
  watch(views, page);
}

// Redraws what depends on things outside the view: the window's width, the system's theme, the address.
function watch(views, page) {
  let width = page.clientWidth;
  new ResizeObserver(framed(() => {
    if (page.clientWidth === width) return;
    width = page.clientWidth;
    redraw(null);
  })).observe(page);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => redraw(['th']));
  addEventListener('hashchange', () => {
    const read = readAddress(location.hash);
    setView(read);
  });
  // Not on every scroll: the keyboard's cursor brings what it tells of into sight itself.
  for (const moved of ['wheel', 'touchmove']) addEventListener(moved, hideTip, {passive: true});
  document.documentElement.dataset.ready = 'yes';
}

start();
