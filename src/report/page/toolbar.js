// The line of switches that every view obeys, and the selection as an argument of the program.

function makeToolbar(host) {
  const bar = html('div', {class: 'toolbar', role: 'toolbar', 'aria-label': 'What is shown'});
  host.append(bar);
  const draw = () => {
    const analysis = analysisNow();
    const focused = bar.contains(document.activeElement) ? document.activeElement.dataset.control : null;
    bar.replaceChildren(
        ...(analysis ? analysisControls(analysis) : []),
        ...(store.model.ablations.length > 1 ?
                [control(
                    'ab',
                    chooser(
                        'ablation', store.model.ablations.map((ablation, i) => [i, shortened(ablation.source, 30)]),
                        store.view.ab, value => setView({ab: Number(value), am: null, fam: null})))] :
                []));
    bar.hidden = bar.children.length === 0;
    if (focused) {
      const again = bar.querySelector(`[data-control="${focused}"]`);
      if (again) again.focus();
    }
  };
  whenChanged(['an', 'v', 'w', 'm', 'log', 'clip', 'ab'], draw);
  return {draw};
}

/** Names an element's input, so that the focus finds it again after a redraw. */
function control(key, element) {
  (element.querySelector('select, input') || element).dataset.control = key;
  return element;
}

function analysisControls(analysis) {
  const {an, v, w, m, log, clip} = store.view;
  const {analyses} = store.model;
  const measure = measureOf(m);
  const options = analysis.vectors.map((vector, i) => [i, shortened(vector.name, 44)]);
  const controls = [];
  if (analyses.length > 1)
    controls.push(control(
        'an',
        chooser(
            'result', analyses.map((known, i) => [i, shortened(known.source, 30)]), an,
            value => setView({an: Number(value), v: 0, w: 1, at: null, t: null}))));
  if (options.length > 1)
    controls.push(control('v', chooser('vector', options, v, value => setView({v: Number(value)}))));
  controls.push(control(
      'm',
      chooser(
          'measure', analysis.measures.map(known => [known.id, known.label]), m, value => setView({m: value}),
          {id: 'measure'})));
  if (options.length > 1)
    controls.push(
        control('w', chooser('with', options.filter(([i]) => i !== v), w, value => setView({w: Number(value)}))));
  const logBox = control('log', checkbox('log scale', log, value => setView({log: value}), {id: 'log'}));
  logBox.querySelector('input').disabled = measure.centre !== undefined;
  controls.push(
      logBox, control('clip', checkbox('cut 2 % at the ends', clip, value => setView({clip: value}), {id: 'clip'})));
  return controls;
}

function makeSelectionBar(host) {
  const field = html('input', {
    type: 'text',
    id: 'only',
    spellcheck: 'false',
    autocomplete: 'off',
    autocapitalize: 'off',
    placeholder: 'everything: select in the map, or write layer=0-7 & module=q_proj',
    'aria-describedby': 'only-note',
    onchange: () => setView({sel: readOnly(field.value)}),
    onkeydown: event => {
      if (event.key === 'Enter') setView({sel: readOnly(field.value)});
    }
  });
  const note = html('p', {class: 'note', id: 'only-note', 'aria-live': 'polite'});
  const clear =
      html('button', {type: 'button', class: 'quiet', id: 'only-clear', onclick: () => setView({sel: ''})}, 'clear');
  const copy = copyButton('copy', () => `--only ${shellWord(store.view.sel)}`);
  copy.id = 'only-copy';
  const bar = html('div', {class: 'selection', role: 'group', 'aria-label': 'Selection'},
    html('label', {for: 'only'}, html('code', {}, '--only')), field, copy, clear, note);
  host.append(bar);
  const draw = () => {
    const analysis = analysisNow();
    bar.hidden = !analysis;
    if (!analysis) return;
    const selection = selectionNow();
    field.value = visible(store.view.sel);
    const error = store.selectionError;
    field.setAttribute('aria-invalid', error ? 'true' : 'false');
    note.className = error ? 'note problem' : 'note';
    note.textContent = error ?
        error :
        selection ?
        `${plural(selection.sites.length, 'tensor')}, ${
            formatCount(selection.sites.reduce((sum, site) => sum + (numberOf(site.elements) || 0), 0))} elements` :
        plural(analysis.sites.length, 'tensor');
    clear.hidden = copy.hidden = store.view.sel === '';
  };
  whenChanged(['an', 'sel'], draw);
  return {draw};
}


/** The selection in what was typed or pasted: with or without `--only` and the shell's quotes. */
function readOnly(text) {
  let read = text.trim().replace(/^--only[= ]\s*/, '');
  if (/^'[^]*'$/.test(read) && !/^'[^']*'\s*[&|]/.test(read)) read = read.slice(1, -1).replace(/'\\''/g, "'");
  else if (/^"[^"]*"$/.test(read)) read = read.slice(1, -1);
  return read.trim() === 'all' ? '' : read.trim();
}
