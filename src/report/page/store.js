// The one view state, what is derived from it, and who is told when it changes.

const store = {
  model: null,  // what readPayload gave
  view: {...DEFAULT_VIEW},
  listeners: [],  // {keys, draw}
  hoverListeners: [],
  hovered: null,  // {layer, module, tensor}, each may be missing
  selectionError: null,
  drawn: null,
};

/** The view with everything that does not exist in this payload put right. */
function validView(view) {
  const {analyses, ablations} = store.model;
  const valid = {...view};
  valid.an = clamp(view.an, 0, Math.max(0, analyses.length - 1));
  valid.ab = clamp(view.ab, 0, Math.max(0, ablations.length - 1));
  const analysis = analyses[valid.an];
  if (analysis) {
    const count = analysis.vectors.length;
    if (valid.v >= count) valid.v = 0;
    if (count > 1 && (valid.w >= count || valid.w === valid.v)) valid.w = valid.v === 0 ? 1 : 0;
    const measures = analysis.measures || (analysis.measures = measuresIn(analysis));
    if (!measures.some(measure => measure.id === valid.m)) valid.m = (measures[0] || MEASURES[0]).id;
    if (valid.at !== null && !placeOf(valid.at, analysis)) valid.at = null;
    if (valid.t !== null && !analysis.vectors[valid.v].tensors.has(valid.t)) valid.t = null;
  }
  const ablation = ablations[valid.ab];
  if (ablation) {
    if (valid.am === null || valid.am >= ablation.metrics.length) valid.am = ablation.metricByDefault;
    if (!ablation.families.some(family => family.name === valid.fam))
      valid.fam = ablation.families.length ? ablation.families[0].name : null;
  }
  return valid;
}

function analysisNow() {
  return store.model.analyses[store.view.an] || null;
}

function ablationNow() {
  return store.model.ablations[store.view.ab] || null;
}

/** The vector that the present one is compared with; null if there is none. */
function partnerNow() {
  const analysis = analysisNow();
  return analysis && analysis.vectors.length > 1 ? store.view.w : null;
}

function rowsNow() {
  const analysis = analysisNow();
  return analysis ? analysis.rows : ablationNow() ? ablationNow().layers() : [];
}

/** Text of a place in the map: `3/q_proj`, `outside/norm`, `3/` for a layer, `/q_proj` for a module. */
function placeText(layer, module) {
  return `${layer === null ? '' : layer}/${module === null ? '' : module}`;
}

function placeOf(text, analysis) {
  const slash = text.indexOf('/');
  if (slash < 0) return null;
  const [layerText, module] = [text.slice(0, slash), text.slice(slash + 1)];
  const layer = layerText === '' ? null : layerText === OUTSIDE ? OUTSIDE : Number(layerText);
  if (layer !== null && !analysis.rows.includes(layer)) return null;
  if (module !== '' && !analysis.columns.includes(module)) return null;
  if (layer === null && module === '') return null;
  if (layer !== null && module !== '' &&
      !analysis.cells.has(analysis.cellKey(analysis.rows.indexOf(layer), analysis.columns.indexOf(module))))
    return null;
  return {layer, module: module === '' ? null : module};
}

// --- The selection -----------------------------------------------------------------------------------

let selectionMemo = {};

/** The selected sites, a Set of names and the sites; null when nothing restricts them. */
function selectionNow() {
  const analysis = analysisNow();
  const text = store.view.sel;
  if (!analysis || text === '') {
    store.selectionError = null;
    return null;
  }
  if (selectionMemo.analysis !== analysis || selectionMemo.text !== text) {
    selectionMemo = {analysis, text, selection: null, error: null};
    try {
      const test = parseSelection(text);
      const sites = analysis.sites.filter(test);
      if (sites.length === 0) throw new SelectionError('selects no tensor of this vector');
      if (sites.length < analysis.sites.length)
        selectionMemo.selection = {sites, names: new Set(sites.map(site => site.name))};
    } catch (error) {
      selectionMemo.error = error instanceof SelectionError ? error.message : 'cannot be read';
    }
  }
  store.selectionError = selectionMemo.error;
  return selectionMemo.selection;
}

function isSelected(site) {
  const selection = selectionNow();
  return !selection || selection.names.has(site.name);
}

/** Whether any tensor of this place is selected; null stands for every layer, or module. */
function isPlaceSelected(layer, module) {
  const selection = selectionNow();
  if (!selection) return true;
  return selection.sites.some(site => (layer === null || (site.layer === null ? OUTSIDE : site.layer) === layer) &&
    (module === null || site.module === module));
}

/** Selects the cells for which `isPicked(layer or OUTSIDE, module)`. */
function selectCells(isPicked) {
  const text =
      selectionText(analysisNow().sites, (layer, module) => isPicked(layer === null ? OUTSIDE : layer, module));
  setView({sel: text === null ? '' : text});
}

/** What the details speak of: a tensor, a place of the map, the selection, or everything. */
function scopeNow() {
  const analysis = analysisNow();
  if (!analysis) return null;
  const {v, t, at} = store.view;
  const w = partnerNow();
  if (t !== null) {
    const sites = analysis.sites.filter(site => site.name === t);
    return {kind: 'tensor', title: visible(t), sites, ...analysis.together(v, w, sites)};
  }
  const place = at === null ? null : placeOf(at, analysis);
  if (place) {
    const sites = analysis.sites.filter(
        site => (place.layer === null || (site.layer === null ? OUTSIDE : site.layer) === place.layer) &&
            (place.module === null || site.module === place.module));
    const row = place.layer === null ? null : analysis.rows.indexOf(place.layer);
    const column = place.module === null ? null : analysis.columns.indexOf(place.module);
    const found = row === null ? analysis.module(v, w, column) : column === null ? analysis.layer(v, w, row)
      : analysis.cell(v, w, analysis.cellKey(row, column));
    return {
      kind: 'place',
      place,
      title: placeTitle(place.layer, place.module),
      sites,
      ...(found.row ? found : analysis.together(v, w, sites))
    };
  }
  const selection = selectionNow();
  if (selection)
    return {
      kind: 'selection',
      title: 'The selection',
      sites: selection.sites,
      ...analysis.together(v, w, selection.sites)
    };
  return {kind: 'all', title: 'The whole vector', sites: analysis.sites, ...analysis.total(v, w)};
}

function layerTitle(layer) {
  return layer === OUTSIDE ? 'outside the layers' : `layer ${layer}`;
}

function placeTitle(layer, module) {
  if (module === null) return layerTitle(layer);
  return layer === null ? visible(module) : `${layerTitle(layer)} · ${visible(module)}`;
}

// --- Changes -----------------------------------------------------------------------------------------

/** `draw` is called now, and again when one of these keys of the view has changed. */
function whenChanged(keys, draw) {
  store.listeners.push({keys: new Set(keys), draw});
}

const keepAddress = settled(() => {
  const hash = writeAddress(store.view);
  if (hash === location.hash.replace(/^#/, '')) return;
  try {
    history.replaceState(null, '', hash === '' ? location.pathname + location.search : '#' + hash);
  } catch {
    location.hash = hash;
  }
}, 120);

function redraw(changed) {
  for (const {keys, draw} of store.listeners)
    if (changed === null || changed.some(key => keys.has(key))) draw();
}

function setView(patch) {
  const next = validView({...store.view, ...patch});
  const changed = Object.keys(next).filter(key => next[key] !== store.view[key]);
  if (changed.length === 0) return;
  store.view = next;
  redraw(changed);
  keepAddress();
}

function setHover(hovered) {
  const before = store.hovered;
  const same = before && hovered ?
      before.layer === hovered.layer && before.module === hovered.module && before.tensor === hovered.tensor :
      before === hovered;
  if (same) return;
  store.hovered = hovered;
  for (const draw of store.hoverListeners) draw(hovered);
}

function whenHovered(draw) {
  store.hoverListeners.push(draw);
}

function themeNow() {
  const {th} = store.view;
  return th !== 'auto' ? th : matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
}
