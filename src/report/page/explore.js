// The live part of the page that `suture explore` serves: scales and switches in, score and fidelity out.

const EXPLORE_WAIT = 60;

// What the switches write when all are off. A selection of nothing is an error elsewhere; here it means the target alone.
const NOTHING = '!name=*';

function makeExplore(host) {
  const {explore} = store.model.payload;
  if (!explore) return null;
  const panel = makePanel(host, {id: 'explore', title: 'Explore', figure: false});
  const live = {
    explore, panel, edit: 0, shown: 0, inFlight: false, wanted: false, answer: null,
    sliders: [], inputs: {}, reference: null,
  };
  live.status = html('p', {class: 'status', role: 'status', 'aria-live': 'polite', id: 'explore-status'});
  live.score = html('div', {class: 'score', id: 'explore-score'});
  live.fidelity = html('div', {class: 'fidelity', id: 'explore-fidelity'});
  live.sample = html('div', {class: 'sample', id: 'explore-sample'});
  live.command = html('code', {id: 'explore-command'});
  panel.body.append(
      html(
          'div', {class: 'explore-grid'},
          html(
              'div', {class: 'explore-controls'}, scaleSliders(live), layerSwitches(live), moduleSwitches(live),
              onlyField(live), live.fidelity),
          html('div', {class: 'explore-answers'}, live.status, live.score, live.sample, promptField(live))),
      html('div', {class: 'command'}, live.command, copyButton('copy', () => live.command.textContent)),
      exportForm(live));
  panel.setNote(
      nameOf(explore.target), ' with exactly this injection, in place.',
      explore.task ? ` Score: ${visible(explore.task.name)}, ${visible(explore.task.metric)}, ${
                         plural(explore.task.records, 'record')}.` :
                     ' No task was given, so there is no score.');
  const send = settled(() => requestEdit(live), EXPLORE_WAIT);
  let sent = JSON.stringify(bodyOfEdit(live));
  whenChanged(['xs', 'xo', 'xp'], () => {
    showControls(live);
    const state = JSON.stringify(bodyOfEdit(live));
    if (state !== sent) send();
    sent = state;
  });
  showControls(live);
  requestEdit(live);
  return live;
}

function scalesNow(live) {
  const {xs} = store.view;
  return xs && xs.length === live.explore.vectors.length ? xs : live.explore.scales;
}

function scaleSliders(live) {
  return html('div', {class: 'scales'}, ...live.explore.vectors.map((vector, i) => {
    const set = value => {
      const scales = scalesNow(live).slice();
      if (!Number.isFinite(value)) return;
      scales[i] = value;
      setView({xs: scales});
    };
    const slider = html('input', {
      type: 'range',
      min: -1,
      max: 2,
      step: 0.05,
      id: `scale-${i}`,
      'aria-label': `scale of ${visible(vector)}`,
      oninput: () => set(Number(slider.value))
    });
    const number = html('input', {
      type: 'number',
      step: 0.05,
      'aria-label': `scale of ${visible(vector)}, as a number`,
      onchange: () => set(Number(number.value))
    });
    live.sliders.push({slider, number});
    const label = html('label', {for: `scale-${i}`}, nameOf(shortened(vector, 48)));
    return html('div', {class: 'scale'}, label, slider, number);
  }));
}

// --- Which tensors: switches that write a selection, and the selection itself ------------------------

function sitesOfExplore({explore}) {
  const analysis = analysisNow();
  if (analysis) return analysis.sites;
  const sites = [];
  for (let layer = 0; layer < explore.layers; ++layer)
    for (const module of explore.modules) sites.push({name: `${layer}.${module}`, layer, module, block: 'other'});
  return sites;
}

/** {layers, modules} of which anything is injected. */
function switchesNow(live) {
  const sites = sitesOfExplore(live);
  let chosen = sites;
  try {
    const test = parseSelection(store.view.xo);
    chosen = sites.filter(test);
  } catch {
    // The server says in words what is wrong with it.
  }
  return {sites, layers: new Set(chosen.map(site => site.layer)), modules: new Set(chosen.map(site => site.module))};
}

function setSwitches(live, layers, modules) {
  const {sites} = switchesNow(live);
  const text = selectionText(sites, (layer, module) => layers.has(layer) && modules.has(module));
  setView({xo: text === null ? NOTHING : text});
}

function switchButton(label, act) {
  return html('button', {type: 'button', class: 'switch', 'aria-pressed': 'true', onclick: act}, label);
}

function toggled(set, member) {
  const next = new Set(set);
  if (!next.delete(member)) next.add(member);
  return next;
}

function switchGroup(live, title, key, members, label) {
  live.inputs[key] = new Map();
  const flip = member => {
    const now = switchesNow(live);
    const next = toggled(now[key], member);
    // From nothing at all, one switch turns its whole row or column on.
    const full = {
      layers: new Set(now.sites.map(site => site.layer)),
      modules: new Set(now.sites.map(site => site.module))
    };
    const other = key === 'layers' ? 'modules' : 'layers';
    const rest = now[other].size === 0 ? full[other] : now[other];
    setSwitches(live, key === 'layers' ? next : rest, key === 'layers' ? rest : next);
  };
  return html('fieldset', {class: 'switches'}, html('legend', {}, title), ...members.map(member => {
    const button = switchButton(label(member), () => flip(member));
    live.inputs[key].set(member, button);
    return button;
  }));
}

function layerSwitches(live) {
  const layers =
      [...new Set(sitesOfExplore(live).map(site => site.layer))].sort((a, b) => (a === null) - (b === null) || a - b);
  return switchGroup(live, 'layers', 'layers', layers, layer => layer === null ? 'outside' : String(layer));
}

function moduleSwitches(live) {
  const analysis = analysisNow();
  return switchGroup(
      live, 'modules', 'modules', analysis ? analysis.columns : live.explore.modules, module => visible(module));
}

/** What an edit asks for; without a prompt the program answers its own. */
function bodyOfEdit(live) {
  const {xo, xp} = store.view;
  const injected = xo === NOTHING ? {scales: scalesNow(live).map(() => 0), only: ''} : {scales: scalesNow(live), only: xo};
  return {...injected, ...(xp === '' ? {} : {prompt: xp})};
}

function promptField(live) {
  const field = html('textarea', {
    id: 'explore-prompt',
    rows: 2,
    spellcheck: 'false',
    placeholder: live.explore.prompt ? shortened(live.explore.prompt, 200) : 'a prompt to answer',
    onchange: () => setView({xp: field.value})
  });
  live.prompt = field;
  return html('div', {class: 'prompt-line'}, html('label', {for: 'explore-prompt'}, 'prompt of the sample'), field);
}

function onlyField(live) {
  const field = html('input', {
    type: 'text',
    id: 'explore-only',
    spellcheck: 'false',
    placeholder: 'everything',
    onchange: () => setView({xo: readOnly(field.value)})
  });
  live.only = field;
  return html('div', {class: 'only-line'}, html('label', {for: 'explore-only'}, html('code', {}, '--only')), field,
    html('button', {type: 'button', class: 'quiet', onclick: () => setView({xo: store.view.sel})}, 'from the map'),
    html('button', {type: 'button', class: 'quiet', onclick: () => setView({xo: '', xs: null})}, 'reset'));
}

function showControls(live) {
  scalesNow(live).forEach((scale, i) => {
    const {slider, number} = live.sliders[i];
    if (document.activeElement !== slider) slider.value = scale;
    if (document.activeElement !== number) number.value = scale;
  });
  const now = switchesNow(live);
  for (const key of ['layers', 'modules'])
    for (const [member, button] of live.inputs[key])
      button.setAttribute('aria-pressed', now[key].has(member) ? 'true' : 'false');
  live.only.value = visible(store.view.xo);
  if (document.activeElement !== live.prompt) live.prompt.value = store.view.xp;
}

// --- Requests: one on its way at a time, and then only the newest state -------------------------------

async function post(live, path, body) {
  const answer = await fetch(live.explore.api + path, {
    method: 'POST',
    headers: {'Content-Type': 'application/json'},
    body: JSON.stringify(body),
    cache: 'no-store',
    credentials: 'omit',
    referrerPolicy: 'no-referrer'
  });
  let read = null;
  try {
    read = await answer.json();
  } catch {
    read = {error: `the program answered with status ${answer.status}`};
  }
  return {status: answer.status, read};
}

async function requestEdit(live) {
  live.wanted = true;
  if (live.inFlight) return;
  live.inFlight = true;
  setStatus(live, 'computing…');
  while (live.wanted) {
    live.wanted = false;
    const edit = ++live.edit;
    try {
      const {status, read} = await post(live, '/edit', {edit, ...bodyOfEdit(live)});
      if (read.superseded) {
        if (!live.wanted) setStatus(live, 'overtaken by a newer change, of another window perhaps');
        continue;
      }
      if (status !== 200) showProblem(live, problemIn(status, read));
      else if (read.edit >= live.shown) showAnswer(live, read);
    } catch {
      showProblem(live, SILENCE);
    }
  }
  live.inFlight = false;
}

const SILENCE = 'The program does not answer: has it ended?';

function problemIn(status, read) {
  const error = read && read.error && (read.error.message || read.error);
  return typeof error === 'string' ? error : `the program answered with status ${status}`;
}

/** Nothing of another state may stand beside a state that has no answer. */
function showProblem(live, text) {
  live.answer = null;
  live.command.textContent = '';
  for (const part of [live.score, live.sample, live.fidelity]) part.replaceChildren();
  setStatus(live, text, true);
}

function setStatus(live, text, isProblem = false) {
  live.status.textContent = visible(text);
  live.status.classList.toggle('problem', isProblem);
  live.panel.section.setAttribute('aria-busy', text === 'computing…' ? 'true' : 'false');
}

function exportForm(live) {
  const folder =
      html('input', {type: 'text', id: 'export-output', placeholder: 'folder of the new model', spellcheck: 'false'});
  const result = html('p', {class: 'note', role: 'status'});
  const button = html('button', {type: 'button', class: 'copy', id: 'export-model', onclick: async () => {
    if (folder.value.trim() === '') {
      result.textContent = 'Say which folder to write.';
      folder.focus();
      return;
    }
    button.disabled = true;
    result.textContent = 'writing…';
    try {
      const {status, read} =
          await post(live, '/export', {...bodyOfEdit(live), output: folder.value.trim()});
      result.textContent = status === 200 ? `wrote ${visible(read.written)}; ${visible((read.realised || '').trim())}` :
                                            visible(problemIn(status, read));
    } catch {
      result.textContent = SILENCE;
    }
    button.disabled = false;
  }}, 'write model');
  return html('div', {class: 'export-line'}, html('label', {for: 'export-output'}, 'Export'), folder, button, result);
}
