// Selections of tensors as text, with the grammar of `--only`: read into a predicate, written from
// what was picked by hand. Sites are {name, layer (a number or null), module, block}.

const BLOCKS = ['attention', 'mlp', 'norm', 'embedding', 'head', 'other'];
const LONGEST_SELECTION = 65536;
const DEEPEST_NESTING = 64;

class SelectionError extends Error {}

function layerTest(value) {
  const ranges = value.split(',').map(part => {
    const match = /^(\d{1,6})(-(\d{1,6})?)?$/.exec(part);
    if (!match) throw new SelectionError(`'${part}' is not a range of layers such as 3, 0-7 or 20-`);
    const first = Number(match[1]);
    const last = match[2] === undefined ? first : match[3] === undefined ? Infinity : Number(match[3]);
    if (last < first) throw new SelectionError(`'${part}' is not a range of layers such as 3, 0-7 or 20-`);
    return [first, last];
  });
  return site => site.layer !== null && ranges.some(([first, last]) => site.layer >= first && site.layer <= last);
}

function blockTest(value) {
  const blocks = value.split(',');
  const unknown = blocks.find(block => !BLOCKS.includes(block));
  if (unknown !== undefined)
    throw new SelectionError(`no block is called '${unknown}': they are ${BLOCKS.join(', ')}`);
  return site => blocks.includes(site.block);
}

/** The regular expression that matches what the shell pattern does; `*` crosses dots and slashes. */
function globPattern(glob) {
  let pattern = '^';
  for (let at = 0; at < glob.length; ++at) {
    const character = glob[at];
    if (character === '*') {
      if (!pattern.endsWith('[^]*')) pattern += '[^]*';
    } else if (character === '?') {
      pattern += '[^]';
    } else if (character === '[') {
      const negated = glob[at + 1] === '!' || glob[at + 1] === '^';
      const begin = at + (negated ? 2 : 1);
      const end = glob.indexOf(']', begin + 1);
      if (end < 0) {
        pattern += '\\[';
      } else {
        pattern += (negated ? '[^' : '[') + glob.slice(begin, end).replace(/[\\\]^[]/g, '\\$&') + ']';
        at = end;
      }
    } else {
      const literal = character === '\\' && at + 1 < glob.length ? glob[++at] : character;
      pattern += literal.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
    }
  }
  return pattern + '$';
}

function nestsRepeats(pattern) {
  // One level of a repeated group that itself repeats or offers choices can take forever.
  return /\((?:[^()\\]|\\.)*[+*{|](?:[^()\\]|\\.)*\)\s*[+*{]/.test(pattern) ||
      /\([^]*\([^]*\)[^]*\)\s*[+*{]/.test(pattern);
}

/** A pattern of PCRE2 as one of this browser, as far as they agree. Throws a SelectionError. */
function regexOf(text) {
  if (text.length > 500 || nestsRepeats(text))
    throw new SelectionError('this page does not run so costly a pattern; the program does');
  const pattern = text.replace(/\\A/g, '^').replace(/\\[zZ]/g, '$').replace(/\\x\{([0-9a-fA-F]{1,6})\}/g, '\\u{$1}');
  for (const flags of ['su', 's']) {
    try {
      return new RegExp(pattern, flags);
    } catch {
      // Without `u` more escapes are allowed.
    }
  }
  throw new SelectionError(`'${text}' is not a regular expression that this page can read`);
}

function atomTest(key, value) {
  if (value === '') throw new SelectionError(`nothing after '${key}='`);
  switch (key) {
    case 'layer':
      return layerTest(value);
    case 'block':
      return blockTest(value);
    case 'module': {
      const modules = value.split(',');
      return site => modules.includes(site.module);
    }
    case 'name': {
      const pattern = new RegExp(globPattern(value));
      return site => pattern.test(site.name);
    }
    case 're': {
      const pattern = regexOf(value);
      return site => pattern.test(site.name);
    }
    default:
      throw new SelectionError(`unknown condition '${key}=': there are layer=, block=, module=, name= and re=`);
  }
}

/** The predicate on sites that `text` says. Throws a SelectionError in words. */
function parseSelection(text) {
  if (text.length > LONGEST_SELECTION) throw new SelectionError('this selection is too long');
  if (text.trim() === '' || text.trim() === 'all') return () => true;
  let at = 0;
  let nesting = 0;
  const skip = () => { while (at < text.length && /\s/.test(text[at])) ++at; };
  const accept = symbol => {
    skip();
    if (text[at] !== symbol) return false;
    ++at;
    return true;
  };
  const fail = expected => {
    const found = at < text.length ? `'${text.slice(at, at + 20)}'` : 'its end';
    throw new SelectionError(`${found} at character ${at}, where ${expected} was expected`);
  };
  const value = () => {
    if (text[at] === "'" || text[at] === '"') {
      const end = text.indexOf(text[at], at + 1);
      if (end < 0) fail('a closing quote');
      const quoted = text.slice(at + 1, end);
      at = end + 1;
      return quoted;
    }
    const begin = at;
    for (let depth = 0; at < text.length; ++at) {
      const character = text[at];
      if (/\s/.test(character) || (depth === 0 && /[&|)]/.test(character))) break;
      if (character === '(') ++depth;
      if (character === ')') --depth;
    }
    return text.slice(begin, at);
  };
  const atom = () => {
    skip();
    const match = /^[A-Za-z_]+(?==)/.exec(text.slice(at, at + 32));
    if (!match) fail('a condition such as layer=0-7');
    at += match[0].length + 1;
    return atomTest(match[0], value());
  };
  const unary = () => {
    if (++nesting > DEEPEST_NESTING) throw new SelectionError('this selection is nested too deeply');
    let test;
    if (accept('!')) {
      const inner = unary();
      test = site => !inner(site);
    } else if (accept('(')) {
      test = either();
      if (!accept(')')) fail("')'");
    } else {
      test = atom();
    }
    --nesting;
    return test;
  };
  const both = () => {
    const tests = [unary()];
    while (accept('&')) tests.push(unary());
    return tests.length === 1 ? tests[0] : site => tests.every(test => test(site));
  };
  const either = () => {
    const tests = [both()];
    while (accept('|')) tests.push(both());
    return tests.length === 1 ? tests[0] : site => tests.some(test => test(site));
  };
  const result = either();
  skip();
  if (at < text.length) fail('an operator & or |');
  return result;
}

/** `0-3,7` of increasing numbers; open at the end, `20-`, where they reach `last`. */
function rangesText(layers, last) {
  const parts = [];
  for (let i = 0; i < layers.length;) {
    let end = i;
    while (end + 1 < layers.length && layers[end + 1] === layers[end] + 1) ++end;
    const open = layers[end] === last && end > i && layers[i] !== 0;
    parts.push(i === end ? `${layers[i]}` : open ? `${layers[i]}-` : `${layers[i]}-${layers[end]}`);
    i = end + 1;
  }
  return parts.join(',');
}

function isWord(text) {
  return /^[A-Za-z0-9_.-]+$/.test(text);
}

/** A condition on one tensor's name, whatever characters it has. */
function nameCondition(text) {
  if (isWord(text)) return `name=${text}`;
  if (!/['*?[\]\\]/.test(text)) return `name='${text}'`;
  if (!/["*?[\]\\]/.test(text)) return `name="${text}"`;
  const escaped = Array.from(text, character => {
    const code = character.codePointAt(0);
    return /[A-Za-z0-9]/.test(character) || code >= 0x80 ? character : `\\x{${code.toString(16).padStart(2, '0')}}`;
  });
  return `re='\\A${escaped.join('')}\\z'`;
}

/** The conditions on modules; null where a module's name is none that the grammar can hold. */
function moduleCondition(modules) {
  if (modules.every(isWord)) return `module=${modules.join(',')}`;
  if (modules.some(module => module === '' || module.includes(',') || (module.includes("'") && module.includes('"'))))
    return null;
  const parts = modules.map(module =>
    isWord(module) ? `module=${module}` : module.includes("'") ? `module="${module}"` : `module='${module}'`);
  return parts.length === 1 ? parts[0] : `(${parts.join(' | ')})`;
}

function sameMembers(a, b) {
  return a.length === b.length && a.every(member => b.includes(member));
}

/**
 * The selection of exactly those of `sites` for which `isPicked(layer, module)`, in as few words
 * as are at hand; '' for all of them, null for none.
 */
function selectionText(sites, isPicked) {
  const byLayer = new Map();
  for (const {layer, module} of sites) {
    if (!byLayer.has(layer)) byLayer.set(layer, new Set());
    byLayer.get(layer).add(module);
  }
  const layers = [...byLayer.keys()].filter(layer => layer !== null).sort((a, b) => a - b);
  const picked = layer => [...byLayer.get(layer)].filter(module => isPicked(layer, module));
  const keys = [...layers, ...(byLayer.has(null) ? [null] : [])];
  if (keys.every(layer => picked(layer).length === byLayer.get(layer).size)) return '';

  const layersOf = module => keys.filter(layer => byLayer.get(layer).has(module));
  const groups = new Map();
  for (const layer of keys) {
    const modules = picked(layer);
    if (modules.length === 0) continue;
    const isWhole = modules.length === byLayer.get(layer).size;
    const key = JSON.stringify([layer === null, isWhole ? null : modules.slice().sort()]);
    if (!groups.has(key)) groups.set(key, {modules, isWhole, layers: [], outside: layer === null});
    groups.get(key).layers.push(layer);
  }
  if (groups.size === 0) return null;

  const terms = [];
  for (const group of groups.values()) {
    const place = group.outside ? '!layer=0-'
      : sameMembers(group.layers, layers) && layers.length > 1 ? 'layer=0-'
      : `layer=${rangesText(group.layers, layers[layers.length - 1])}`;
    if (group.isWhole) {
      terms.push(place);
      continue;
    }
    const modules = moduleCondition(group.modules);
    if (modules === null) {
      for (const site of sites)
        if (group.layers.includes(site.layer) && group.modules.includes(site.module))
          terms.push(nameCondition(site.name));
    } else if (group.modules.every(module => sameMembers(layersOf(module), group.layers))) {
      terms.push(modules);
    } else {
      terms.push(`${place} & ${modules}`);
    }
  }
  return terms.join(' | ');
}

/** One argument of a POSIX shell. */
function shellWord(text) {
  return /^[A-Za-z0-9_.,:/@%+=-]+$/.test(text) ? text : `'${text.replace(/'/g, `'\\''`)}'`;
}
