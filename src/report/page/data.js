// The payload as the views want it: analyses with rows (layers), columns (modules) and cells.

const OUTSIDE = 'outside';

const MODULE_ORDER = [
  'embed_tokens', 'wte',    'wpe',       'input_layernorm', 'ln_1',         'q_proj', 'k_proj',
  'v_proj',       'q_norm', 'k_norm',    'qkv_proj',        'c_attn',       'o_proj', 'post_attention_layernorm',
  'ln_2',         'gate',   'gate_proj', 'up_proj',         'gate_up_proj', 'c_fc',   'down_proj',
  'c_proj',       'norm',   'ln_f',      'lm_head',
];

function moduleRank(module) {
  const at = MODULE_ORDER.indexOf(module);
  return at < 0 ? MODULE_ORDER.length - 2.5 : at;
}

function sumOf(rows, key) {
  let sum = 0;
  for (const row of rows) {
    const value = numberOf(row[key]);
    if (value === null) return undefined;
    sum += value;
  }
  return sum;
}

function hypotOf(rows, key) {
  let sum = 0;
  for (const row of rows) {
    const value = numberOf(row[key]);
    if (value === null) return undefined;
    sum += value * value;
  }
  return Math.sqrt(sum);
}

function combineHistograms(rows) {
  const counts = new Map();
  for (const {histogram} of rows) {
    if (!histogram || !Array.isArray(histogram.counts)) continue;
    histogram.counts.forEach((count, i) => {
      if (count) counts.set(histogram.first_exponent + i, (counts.get(histogram.first_exponent + i) || 0) + count);
    });
  }
  const exponents = [...counts.keys()].sort((a, b) => a - b);
  if (exponents.length === 0) return {first_exponent: 0, counts: []};
  const all = [];
  for (let exponent = exponents[0]; exponent <= exponents[exponents.length - 1]; ++exponent)
    all.push(counts.get(exponent) || 0);
  return {first_exponent: exponents[0], counts: all};
}

function combineRealised(rows) {
  const parts = rows.map(row => row.realised);
  if (parts.some(part => !part)) return undefined;
  const elements = sumOf(parts, 'elements');
  const wanted = hypotOf(parts, 'wanted_norm');
  const realised = hypotOf(parts, 'realised_norm');
  const dot = parts.reduce((sum, part) =>
    sum + (numberOf(part.cosine) || 0) * (numberOf(part.wanted_norm) || 0) * (numberOf(part.realised_norm) || 0), 0);
  return {
    elements,
    wanted_norm: wanted,
    realised_norm: realised,
    changed:
        parts.reduce((sum, part) => sum + (numberOf(part.changed) || 0) * (numberOf(part.elements) || 0), 0) / elements,
    cosine: wanted > 0 && realised > 0 ? dot / (wanted * realised) : NaN,
  };
}

/** What a row would say of these rows' elements together. One row is itself, digit for digit. */
function combineRows(rows) {
  if (rows.length === 1) return rows[0];
  const elements = sumOf(rows, 'elements');
  const changed = sumOf(rows, 'changed_elements');
  const norm = hypotOf(rows, 'norm');
  const base = hypotOf(rows, 'base_norm');
  const spectra = rows.map(row => row.spectrum).filter(Boolean);
  return {
    elements, norm, rms: Math.sqrt(norm * norm / elements),
    max: rows.reduce((largest, row) => Math.max(largest, numberOf(row.max)), 0),
    changed_elements: changed, changed: changed / elements,
    non_finite: rows.reduce((sum, row) => sum + (row.non_finite || 0), 0) || undefined,
    base_norm: base, relative_norm: base > 0 ? norm / base : undefined,
    histogram: combineHistograms(rows), realised: combineRealised(rows),
    // A weight and its bias: the matrix alone has a spectrum. Of several matrices there is none.
    spectrum: spectra.length === 1 ? spectra[0] : undefined, spectra,
  };
}

/** What a pair's row would say of these tensors together. */
function combinePairs(pairs, firsts, seconds) {
  if (pairs.some(pair => !pair)) return null;
  if (pairs.length === 1) return pairs[0];
  const norms = hypotOf(firsts, 'norm') * hypotOf(seconds, 'norm');
  let dot = 0, both = 0, agreed = 0, chance = 0;
  pairs.forEach((pair, i) => {
    const weight = numberOf(pair.both_changed) || 0;
    dot += (numberOf(pair.cosine) || 0) * (numberOf(firsts[i].norm) || 0) * (numberOf(seconds[i].norm) || 0);
    both += weight;
    agreed += (numberOf(pair.sign_agreement) || 0) * weight;
    chance += (numberOf(pair.sign_agreement_by_chance) || 0) * weight;
  });
  return {
    cosine: norms > 0 ? dot / norms : NaN, both_changed: both,
    sign_agreement: both > 0 ? agreed / both : NaN, sign_agreement_by_chance: both > 0 ? chance / both : NaN,
  };
}

function keyed(rows, key) {
  return new Map((rows || []).map(row => [row[key], row]));
}

function vectorOf(vector) {
  return {
    name: vector.name,
    total: vector.total,
    layers: keyed(vector.layers, 'layer'),
    modules: keyed(vector.modules, 'module'),
    blocks: keyed(vector.blocks, 'block'),
    tensors: keyed(vector.tensors, 'name'),
  };
}

/** One analysis. Pairs are found by the vectors' places, since names may be the same. */
class Analysis {
  constructor(source, result) {
    this.source = source;
    this.target = result.target || null;
    this.vectors = (result.vectors || []).map(vectorOf);
    this.sites = [];
    const seen = new Map();
    for (const vector of result.vectors || []) {
      for (const tensor of vector.tensors || []) {
        if (seen.has(tensor.name)) continue;
        const layer = typeof tensor.layer === 'number' ? tensor.layer : null;
        const site = {
          name: tensor.name,
          layer,
          module: String(tensor.module),
          block: tensor.block,
          shape: tensor.shape,
          elements: tensor.elements
        };
        seen.set(tensor.name, site);
        this.sites.push(site);
      }
    }
    const layers = [...new Set(this.sites.map(site => site.layer))];
    this.rows = layers.filter(layer => layer !== null).sort((a, b) => a - b);
    if (layers.includes(null)) this.rows.push(OUTSIDE);
    // Modules of the layers first, those outside behind them.
    const outsideOnly = module => this.sites.every(site => site.module !== module || site.layer === null);
    this.columns = [...new Set(this.sites.map(site => site.module))]
      .map(module => ({module, key: moduleRank(module) + (outsideOnly(module) ? 1000 : 0)}))
      .sort((a, b) => a.key - b.key).map(column => column.module);
    this.cells = new Map();
    for (const site of this.sites) {
      const key = this.cellKey(this.rowOf(site), this.columns.indexOf(site.module));
      if (!this.cells.has(key)) this.cells.set(key, []);
      this.cells.get(key).push(site);
    }
    this.pairs = new Map();
    this.addPairs(result.pairs || []);
    this.combined = new Map();
  }

  rowOf(site) {
    return this.rows.indexOf(site.layer === null ? OUTSIDE : site.layer);
  }

  cellKey(row, column) {
    return row * this.columns.length + column;
  }

  addPairs(pairs) {
    const places = [];
    for (let i = 0; i < this.vectors.length; ++i)
      for (let j = i + 1; j < this.vectors.length; ++j) places.push([i, j]);
    const named = pair => places.find(([i, j]) => !this.pairs.has(`${i} ${j}`) &&
      pair.first === this.vectors[i].name && pair.second === this.vectors[j].name);
    for (const pair of pairs) {
      const place = named(pair);
      if (!place) continue;
      this.pairs.set(place.join(' '), {
        total: pair.total,
        layers: keyed(pair.layers, 'layer'),
        modules: keyed(pair.modules, 'module'),
        tensors: keyed(pair.tensors, 'name'),
      });
    }
  }

  pair(i, j) {
    return this.pairs.get(i < j ? `${i} ${j}` : `${j} ${i}`) || null;
  }

  /** {row, pair} of some sites together, for a vector and (or null) its partner. */
  together(v, w, sites) {
    const vector = this.vectors[v];
    const partner = w === null ? null : this.vectors[w];
    const pair = w === null ? null : this.pair(v, w);
    const present = sites.filter(site => vector.tensors.has(site.name));
    if (present.length === 0) return {row: null, pair: null};
    const rows = present.map(site => vector.tensors.get(site.name));
    const pairs = pair && partner ? combinePairs(present.map(site => pair.tensors.get(site.name)),
      rows, present.map(site => partner.tensors.get(site.name) || {norm: 0})) : null;
    return {row: combineRows(rows), pair: pairs};
  }

  /** {row, pair} of a cell; remembered. */
  cell(v, w, key) {
    const place = `${v} ${w} ${key}`;
    if (!this.combined.has(place)) this.combined.set(place, this.together(v, w, this.cells.get(key) || []));
    return this.combined.get(place);
  }

  layer(v, w, row) {
    const layer = this.rows[row];
    const pair = w === null ? null : this.pair(v, w);
    return {row: this.vectors[v].layers.get(layer) || null, pair: pair ? pair.layers.get(layer) || null : null};
  }

  module(v, w, column) {
    const module = this.columns[column];
    const pair = w === null ? null : this.pair(v, w);
    return {row: this.vectors[v].modules.get(module) || null, pair: pair ? pair.modules.get(module) || null : null};
  }

  total(v, w) {
    const pair = w === null ? null : this.pair(v, w);
    return {row: this.vectors[v].total, pair: pair ? pair.total : null};
  }
}

function readPayload(text) {
  const payload = JSON.parse(text);
  const analyses = [];
  const ablations = [];
  const others = [];
  for (const {source, result} of payload.results || []) {
    const schema = result ? result.schema : null;
    if (schema === 'suture.analyze/1' && (result.vectors || []).length > 0) analyses.push(new Analysis(source, result));
    else if (schema === 'suture.ablation/1') ablations.push(new Ablation(source, result));
    else others.push({source, schema});
  }
  return {payload, analyses, ablations, others};
}
