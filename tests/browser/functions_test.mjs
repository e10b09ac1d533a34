// The page's functions that need no page, run by `node --test`: selections, numbers, colours, addresses.

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import test from 'node:test';
import vm from 'node:vm';

const folder = new URL('../../src/report/page/', import.meta.url);
const parts = ['dom', 'format', 'colour', 'selection_text', 'data', 'measures', 'ablation', 'address', 'axes', 'effect_size', 'histogram'];
const script = parts.map(part => readFileSync(new URL(`${part}.js`, folder), 'utf8')).join('');
const names = `visible shortened formatNumber formatPercent formatPoints formatCount formatBytes exact numberOf csvCell tickText mixed makeScale
  parseSelection selectionText nameCondition shellWord globPattern regexOf SelectionError writeAddress readAddress DEFAULT_VIEW linearTicks logTicks
  combineRows quantileOfBins rankCorrelation layerOfArm SEQUENTIAL DIVERGING LINES`.split(/\s+/);
const page = vm.runInNewContext(`${script};({${names.join(', ')}})`, {});

const MODULES = {q_proj: 'attention', o_proj: 'attention', up_proj: 'mlp', input_layernorm: 'norm'};

function sitesOf(layers, outside = ['embed_tokens', 'norm']) {
  const sites = outside.map(module => ({name: `model.${module}.weight`, layer: null, module, block: module === 'norm' ? 'norm' : 'embedding'}));
  for (let layer = 0; layer < layers; ++layer)
    for (const [module, block] of Object.entries(MODULES)) sites.push({name: `model.layers.${layer}.${module}.weight`, layer, module, block});
  return sites;
}

const plain = value => JSON.parse(JSON.stringify(value));

test('any choice of cells makes a selection that selects just these', () => {
  const sites = sitesOf(7, ['embed_tokens', 'norm', 'q_proj']);
  let state = 12345;
  const random = () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648;
  for (let round = 0; round < 400; ++round) {
    const share = random();
    const picked = new Set(sites.filter(() => random() < share).map(site => site.name));
    const text = page.selectionText(sites, (layer, module) => sites.some(site => site.layer === layer && site.module === module && picked.has(site.name)));
    if (picked.size === 0) assert.equal(text, null);
    else assert.deepEqual(sites.filter(page.parseSelection(text)).map(site => site.name), sites.map(site => site.name).filter(name => picked.has(name)), text);
  }
});

test('selections are as short as one would write them', () => {
  const sites = sitesOf(24);
  const text = isPicked => page.selectionText(sites, isPicked);
  assert.equal(text(() => true), '');
  assert.equal(text(layer => layer === 3), 'layer=3');
  assert.equal(text(layer => layer !== null), 'layer=0-');
  assert.equal(text(layer => layer === null), '!layer=0-');
  assert.equal(text(layer => layer !== null && layer >= 20), 'layer=20-');
  assert.equal(text((layer, module) => module === 'q_proj'), 'module=q_proj');
  assert.equal(text((layer, module) => module === 'q_proj' && layer < 4), 'layer=0-3 & module=q_proj');
  assert.equal(text((layer, module) => module === 'norm'), 'module=norm');
  assert.equal(text(layer => [1, 2, 3, 7].includes(layer)), 'layer=1-3,7');
});

test('hostile modules are quoted, or named tensor by tensor', () => {
  for (const module of ['a b', "it's", 'a"b', 'x,y', `'"`, '', 'a & b', ')', 'a\nb', '*', '[x]', '\\']) {
    const sites = [{name: `m.${module}.weight`, layer: 0, module, block: 'other'}, {name: 'm.other.weight', layer: 0, module: 'other', block: 'other'}];
    const text = page.selectionText(sites, (layer, picked) => picked === module);
    assert.deepEqual(plain(sites.filter(page.parseSelection(text)).map(site => site.module)), [module], text);
  }
});

test('operators bind as in the program', () => {
  const sites = sitesOf(4);
  const count = text => sites.filter(page.parseSelection(text)).length;
  assert.equal(count('layer=0 | layer=1 & module=q_proj'), 5);
  assert.equal(count('(layer=0 | layer=1) & module=q_proj'), 2);
  assert.equal(count('!layer=0 & module=q_proj'), 3);
  assert.equal(count('!(layer=0 & module=q_proj)'), sites.length - 1);
  assert.equal(count("re='layers\\.[01]\\.(q|o)_proj'"), 4);
  assert.equal(count('re=(q|o)_proj'), 8);
  assert.equal(count('name=*.2.*'), 4);
  assert.equal(count('all'), sites.length);
  assert.equal(count('  layer=1  '), 4);
});

test('what is no selection is refused in words', () => {
  for (const text of ['layer=', 'layer=a', 'layer=3-1', 'block=x', 'x=1', 'layer=1 layer=2', '(layer=1', 'layer=1)', '&', '!', "name='x", 're=(', "re='(a+)+$'",
    "re='(a|a)*$'", '('.repeat(5000), 'layer=1 &'.repeat(9000)])
    assert.throws(() => page.parseSelection(text), error => error.message.length > 5 && error.constructor.name === 'SelectionError', text.slice(0, 40));
});

test('globs are those of the shell', () => {
  const matches = (glob, text) => new RegExp(page.globPattern(glob)).test(text);
  assert.ok(matches('a*c', 'a.b/c') && matches('*', '') && matches('a?c', 'abc') && matches('[ab]x', 'bx') && matches('[!ab]x', 'cx') && matches('a.b', 'a.b'));
  assert.ok(!matches('a?c', 'ac') && !matches('a.b', 'axb') && !matches('[!ab]x', 'ax') && !matches('a', 'ab') && !matches('A', 'a'));
  assert.ok(matches('\\*', '*') && !matches('\\*', 'x') && matches('[', '[') && matches('[]]', ']') && matches('[a-c]', 'b') && matches('a\nb', 'a\nb') && matches('(a|b)', '(a|b)'));
});

test('unseen characters are written out', () => {
  assert.equal(page.visible('a\u202eb\nc\u200d\ud800d\u0000'), 'a\\u202eb\\nc\\u200d\\ud800d\\u0000');
  assert.equal(page.visible('ünïcödé 模型 \u{1f600}'), 'ünïcödé 模型 \u{1f600}');
  assert.equal(page.visible('\u{e0041}'), '\\udb40\\udc41');
  assert.equal(page.shortened('abcdefghij', 5), 'ab…ij');
  assert.equal(page.shortened('\u{1f600}'.repeat(10), 3), '\u{1f600}…\u{1f600}');
});

test('numbers are short for reading and whole for hovering', () => {
  assert.equal(page.formatNumber(0.123456), '0.1235');
  assert.equal(page.formatNumber(-1.5e-7), '\u22121.5e\u22127');
  assert.equal(page.formatNumber(1234567), '1.235e6');
  assert.equal(page.formatPercent(0.95578), '95.6 %');
  assert.equal(page.formatPercent(0.00123), '0.123 %');
  assert.equal(page.formatPoints(-0.123), '\u221212.3 pp');
  assert.equal(page.formatCount(605056), '605.1 k');
  assert.equal(page.formatCount(999960), '1.0 M');
  assert.equal(page.tickText(page.formatPercent, 0.02), '2 %');
  assert.equal(page.tickText(page.formatPercent, 0), '0 %');
  assert.equal(page.tickText(page.formatNumber, 100), '100');
  assert.equal(page.exact(0.1 + 0.2), '0.30000000000000004');
  assert.equal(page.exact(page.numberOf('-inf')), '-inf');
  assert.equal(page.numberOf('1'), null);
  assert.equal(page.formatNumber(null), '–');
});

test('cells of a spreadsheet are no formulas', () => {
  for (const text of ['=1+1', '+1', '-1', '@x', '\tx', '\rx']) assert.match(page.csvCell(text), /^"?'/);
  assert.equal(page.csvCell(-1.5), '-1.5');
  assert.equal(page.csvCell('a,"b"'), '"a,""b"""');
  assert.equal(page.csvCell(NaN), 'nan');
});

test('colours: ends, middle, order of lightness', () => {
  const lightness = hex => [1, 3, 5].reduce((sum, at, i) => sum + parseInt(hex.slice(at, at + 2), 16) * [0.2126, 0.7152, 0.0722][i], 0);
  let last = -1;
  for (let i = 0; i <= 40; ++i) {
    const now = lightness(page.mixed(page.SEQUENTIAL, i / 40));
    assert.ok(now > last, 'lightness alone tells the order');
    last = now;
  }
  const scale = page.makeScale([-0.2, 0.1, 0.5], {centre: 0});
  assert.equal(scale.low, -0.5);
  assert.equal(scale.colour(0), page.DIVERGING.light[3]);
  assert.equal(scale.colour(NaN), null);
  const log = page.makeScale([0, 1, 10, 100], {log: true});
  assert.ok(Math.abs(log.share(10) - 0.5) < 1e-12);
  assert.equal(log.colour(0), page.SEQUENTIAL[0]);
  const clipped = page.makeScale([...Array(99).keys(), 1e9], {clip: true});
  assert.ok(clipped.high < 1e8 && clipped.clipsHigh);
  assert.ok(page.makeScale([]).colour(1) && page.makeScale([3, 3]).colour(3) && page.makeScale([0, 0], {centre: 0}).colour(0));
});

test('addresses come back as they were; what is odd is left out', () => {
  const view = {...page.DEFAULT_VIEW, m: 'rms', sel: "layer=0-3 & re='a=b#&%'", at: '3/q_proj', log: true, xs: [0.5, -1], down: false};
  assert.deepEqual(plain(page.readAddress('#' + page.writeAddress(view))), plain(view));
  assert.equal(page.writeAddress(page.DEFAULT_VIEW), '');
  for (const text of ['#v=-1', '#v=1e3', '#log=yes', '#m=<b>', '#th=pink', '#__proto__=1', '#xs=1,x', '#%', '#=', '#sel=%E0%A4%A'])
    assert.deepEqual(plain(page.readAddress(text)), plain(page.DEFAULT_VIEW), text);
  assert.doesNotThrow(() => page.writeAddress({...page.DEFAULT_VIEW, q: '\ud800'}));
});

test('rows together', () => {
  const a = {elements: 3, norm: 3, rms: 1, max: 2, changed_elements: 3, base_norm: 4, histogram: {first_exponent: -2, counts: [1, 2]}};
  const b = {elements: 1, norm: 4, rms: 4, max: 4, changed_elements: 0, base_norm: 3, histogram: {first_exponent: -1, counts: [5]}};
  const both = page.combineRows([a, b]);
  assert.equal(both.norm, 5);
  assert.equal(both.rms, 2.5);
  assert.equal(both.changed, 0.75);
  assert.equal(both.relative_norm, 1);
  assert.deepEqual(plain(both.histogram), {first_exponent: -2, counts: [1, 7]});
  assert.equal(page.combineRows([a]), a);
});

test('quantiles, ranks, ticks, layers of arms', () => {
  assert.equal(page.quantileOfBins([{exponent: 0, count: 10}, {exponent: 1, count: 10}], 0.5), 2);
  assert.equal(page.rankCorrelation([1, 2, 3], [10, 20, 30]), 1);
  assert.equal(page.rankCorrelation([1, 2, 3], [3, 2, 1]), -1);
  assert.deepEqual(plain(page.linearTicks(0, 1, 5)), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(plain(page.logTicks(1e-3, 1e3, 3)), [1e-3, 1e-1, 1e1, 1e3]);
  assert.deepEqual(plain(page.logTicks(0.02, 0.25, 4)), [0.02, 0.05, 0.1, 0.2]);
  assert.deepEqual(plain(page.logTicks(3, 4, 4)), [3, 4]);
  assert.equal(page.layerOfArm({kind: 'without', part: 'layer=3'}), 3);
  assert.equal(page.layerOfArm({kind: 'bottom-up', part: 'layer=0-3'}), 3);
  assert.equal(page.layerOfArm({kind: 'top-down', part: 'layer=3-'}), 3);
  assert.equal(page.layerOfArm({kind: 'only', part: 'outside the layers'}), 'outside');
  assert.equal(page.layerOfArm({kind: 'only', part: 'module=q_proj'}), null);
});

test('one argument of the shell', () => {
  assert.equal(page.shellWord("a'b c"), `'a'\\''b c'`);
  assert.equal(page.shellWord('grpo'), 'grpo');
});
