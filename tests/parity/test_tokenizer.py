"""suture tokenize against the tokenizers package, on small tokenizers trained here."""

import json
import random
import subprocess
import unicodedata

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from conftest import SUTURE

QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)"
          r"|\s+")
STYLES = ["qwen", "llama3", "gpt2", "llama2-normalizer", "llama2-metaspace", "mistral-always", "odd-tokens"]
CASES = 5000

WORDS = ("the quick brown fox jumps over lazy dogs and we can't say what it's worth, they'll tell you I'VE DONE "
         "return value if x == None: print(f'{x!r}') for (int i = 0; i < n; ++i) { sum += a[i]; } // done "
         "größe façade naïve Ελλάδα Россия मानक हिन्दी العربية עברית 日本語の文章 中文字符 한국어 ไทย Việt Nam éàü "
         "١٢٣ Ⅷ ½ ² ③ 3.14159 1234567 2024-01-01").split()
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u200b", "\ufeff", "\u180e", "\u0085", "\u2028",
          "\u202f", "\x0b", "\x0c", "   \n  ", "\r", " \t ", "\n\n\n"]
ODD = ["e\u0301", "\u0041\u030a", "\u212b", "\ufb01", "\u1100\u1161\u11a8", "\u0958", "👨\u200d👩\u200d👧", "🏳️\u200d🌈", "👍🏽", "\x00", "\x01\x7f",
       "\u0915\u094d\u0937", "\u0644\u0627", "\u202e", "\ufffd", "\U0001d54f", "ſ", "'ſ", "'S", "'LL", "K", "▁", "▁▁", "<0x41>", "Ġ",
       "\u0344", "\u0f73", "\u2126", "\U00011347\U0001133e", "\u0300\u0301", "ﷺ", "㌀", "\u0345\u0301"]
SPECIAL = ["<|im_start|>", "<|im_end|>", "<s>", "</s>", "<unk>", "<tool>", " <pad> ", "<|im_start|>user\n", "<|im_", "Wörd", "wörd"]


def corpus():
    rng = random.Random(7)
    return [" ".join(rng.choices(WORDS, k=12)) for _ in range(400)]


def train(tokenizer, byte_level, vocab_size=1500):
    alphabet = pre_tokenizers.ByteLevel.alphabet() if byte_level else [f"<0x{byte:02X}>" for byte in range(256)]
    options = dict(vocab_size=vocab_size, show_progress=False)
    if byte_level:
        tokenizer.train_from_iterator(corpus(), trainers.BpeTrainer(initial_alphabet=alphabet, **options))
    else:
        tokenizer.train_from_iterator(
            corpus(), trainers.BpeTrainer(special_tokens=["<unk>", "<s>", "</s>", *alphabet], **options))
        # Byte tokens belong to the vocabulary; only the first three are special.
        tokens = json.loads(tokenizer.to_str())
        tokens["added_tokens"] = tokens["added_tokens"][:3]
        tokenizer = Tokenizer.from_str(json.dumps(tokens))
    return tokenizer


def byte_level(pattern, normalizer=None):
    tokenizer = Tokenizer(models.BPE(ignore_merges=pattern == LLAMA3))
    tokenizer.normalizer = normalizer
    if pattern:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer = train(tokenizer, True)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_start|>user"])
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False), AddedToken("Wörd", normalized=True)])
    return tokenizer


def sentencepiece(normalizer, pre_tokenizer, decoder):
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = normalizer, pre_tokenizer, decoder
    tokenizer = train(tokenizer, False)
    bos = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", bos)])
    tokenizer.add_tokens([AddedToken("<tool>", normalized=True)])
    return tokenizer


def make(style):
    if style == "qwen":
        return byte_level(QWEN, normalizers.NFC())
    if style == "llama3":
        tokenizer = byte_level(LLAMA3)
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<|endoftext|> $A", special_tokens=[
                ("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))])])
        return tokenizer
    if style == "gpt2":
        return byte_level(None)
    chain = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    if style == "llama2-normalizer":
        return sentencepiece(normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None,
                             decoders.Sequence(chain))
    if style == "llama2-metaspace":
        return sentencepiece(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False), decoders.Sequence(chain))
    if style == "mistral-always":
        return sentencepiece(normalizers.NFKC(), pre_tokenizers.Metaspace(prepend_scheme="always", split=True),
                             decoders.Metaspace(prepend_scheme="always"))
    tokenizer = byte_level(QWEN, normalizers.NFD())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.Split("print", "merged_with_next"),
        pre_tokenizers.Split(Regex(r"\s+"), "merged_with_previous"), pre_tokenizers.Split(Regex(r"[aeiou]"), "contiguous"),
        pre_tokenizers.Split("--", "removed"), pre_tokenizers.Split(Regex(r"(?=\p{Lu})"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.add_special_tokens([AddedToken("<pad>", lstrip=True, rstrip=True), AddedToken("x1", single_word=True)])
    tokenizer.add_tokens([AddedToken("fox", single_word=True), AddedToken("<left>", lstrip=True), AddedToken("Å", normalized=True)])
    return tokenizer


def texts(seed):
    """Varied strings: words of many scripts, odd spaces, special tokens, any code points."""
    rng = random.Random(seed)
    found = ["", " ", "\n", "  a", "a  ", "'s", " " * 50, "x1 x1y yx1", "a <pad> b<left> c <left>"]
    while len(found) < CASES:
        parts = []
        for _ in range(rng.randint(1, 14)):
            kind = rng.random()
            if kind < 0.45:
                parts.append(rng.choice(WORDS) + rng.choice(["", " ", " ", " "]))
            elif kind < 0.6:
                parts.append(rng.choice(SPACES))
            elif kind < 0.72:
                parts.append(rng.choice(ODD))
            elif kind < 0.82:
                parts.append(rng.choice(SPECIAL))
            elif kind < 0.87:
                parts.append(str(rng.randint(0, 10 ** rng.randint(1, 12))))
            elif kind < 0.9:
                parts.append(rng.choice(["<pad>", " fox ", "fox", "x1", " <left>", "Å", "A\u030a", "--", "print"]))
            else:
                code = rng.choice([rng.randrange(0x20), rng.randrange(0x250), rng.randrange(0x3000), rng.randrange(0x110000)])
                if not 0xD800 <= code < 0xE000 and unicodedata.category(chr(code)) != "Cn":
                    parts.append(chr(code))
        found.append("".join(parts))
    return found


@pytest.fixture(scope="module", params=STYLES)
def pair(request, tmp_path_factory):
    """The package's tokenizer and the file that suture reads."""
    tokenizer = make(request.param)
    path = tmp_path_factory.mktemp(request.param) / "tokenizer.json"
    tokenizer.save(str(path))
    return Tokenizer.from_file(str(path)), path


def tokenize(path, data, *options):
    done = subprocess.run([SUTURE, "tokenize", path, *options], input=data, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def as_json_lines(strings):
    return "".join(json.dumps(text) + "\n" for text in strings).encode()


def as_id_lines(lists):
    return "".join(" ".join(map(str, ids)) + "\n" for ids in lists).encode()


def assert_equal_lists(got, expected, inputs):
    wrong = [(text, a, b) for text, a, b in zip(inputs, got, expected, strict=True) if a != b]
    assert not wrong, f"{len(wrong)} of {len(inputs)} differ, such as (input, suture, package)\n" + "\n".join(
        map(ascii, sorted(wrong, key=lambda found: len(found[0]))[:5]))


@pytest.mark.parametrize("special", [False, True])
def test_ids(pair, special):
    package, path = pair
    strings = texts(11)
    got = [[int(token) for token in line.split()]
           for line in tokenize(path, as_json_lines(strings), "--json-lines", *["--special"] * special).decode().split("\n")[:-1]]
    expected = [package.encode(text, add_special_tokens=special).ids for text in strings]
    assert_equal_lists(got, expected, strings)


@pytest.mark.parametrize("special", [False, True])
def test_text_of_ids(pair, special):
    package, path = pair
    rng = random.Random(5)
    lists = [package.encode(text, add_special_tokens=True).ids for text in texts(12)[:2000]]
    lists += [[rng.randrange(package.get_vocab_size()) for _ in range(rng.randint(0, 12))] for _ in range(2000)]
    got = [json.loads(line) for line in tokenize(path, as_id_lines(lists), "--decode", "--json-lines",
                                                 *["--special"] * special).decode().split("\n")[:-1]]
    expected = [package.decode(ids, skip_special_tokens=not special) for ids in lists]
    assert_equal_lists(got, expected, lists)


def test_bytes_that_are_no_utf8(pair):
    package, path = pair
    rng = random.Random(9)
    lines = [bytes(rng.choice([rng.randrange(256), *b"ab\xe2\x82\xac\xf0\x9f\xed\xa0\xc0\xf4"]) for _ in range(rng.randint(0, 20)))
             .replace(b"\n", b"") for _ in range(2000)]
    got = [[int(token) for token in line.split()] for line in tokenize(path, b"\n".join(lines) + b"\n").split(b"\n")[:-1]]
    expected = [package.encode(line.decode("utf-8", "replace"), add_special_tokens=False).ids for line in lines]
    assert_equal_lists(got, expected, lines)


CHATML = ("{%- if messages[0]['role'] != 'system' -%}\n{{- '<|im_start|>system\\nBe exact and kind.<|im_end|>\\n' -}}\n"
          "{%- endif -%}\n{%- for message in messages -%}\n"
          "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' -}}\n{%- endfor -%}\n"
          "{%- if add_generation_prompt -%}\n{{- '<|im_start|>assistant\\n' -}}\n{%- endif -%}\n")
LLAMA3_CHAT = ("{% for message in messages %}\n{% set text = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'"
               " + message['content'] | trim + '<|eot_id|>' %}\n    {% if loop.index0 == 0 %}{% set text = bos_token + text %}"
               "{% endif %}\n{{- text }}{% endfor %}\n"
               "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}")


# With a branch for tools, as templates of models that call functions have.
TOOLS_CHAT = (
    "{%- if tools %}\n    {{- '<|im_start|>system\\n' }}\n    {%- if messages[0]['role'] == 'system' %}\n"
    "        {{- messages[0]['content'] }}\n    {%- else %}\n        {{- 'Say it plainly.' }}\n    {%- endif %}\n"
    "    {{- \"\\n\\nFunctions:\\n\" }}\n    {%- for tool in tools %}\n        {{- \"\\n\" }}\n        {{- tool | tojson }}\n"
    "    {%- endfor %}\n    {{- \"<|im_end|>\\n\" }}\n{%- else %}\n    {%- if messages[0]['role'] == 'system' %}\n"
    "        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}\n    {%- else %}\n"
    "        {{- '<|im_start|>system\\nSay it plainly.<|im_end|>\\n' }}\n    {%- endif %}\n{%- endif %}\n"
    "{%- for message in messages %}\n"
    "    {%- if (message.role == \"user\") or (message.role == \"system\" and not loop.first) or "
    "(message.role == \"assistant\" and not message.tool_calls) %}\n"
    "        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}\n"
    "    {%- elif message.role == \"assistant\" %}\n        {%- for tool_call in message.tool_calls %}\n"
    "            {%- if tool_call.function is defined %}\n                {%- set tool_call = tool_call.function %}\n"
    "            {%- endif %}\n            {{- tool_call.arguments | tojson }}\n        {%- endfor %}\n"
    "    {%- elif message.role == \"tool\" %}\n"
    "        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != \"tool\") %}\n            {{- '<call>' }}\n"
    "        {%- endif %}\n    {%- endif %}\n{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}\n")
# Dates, lists of tools and slices of texts: beyond what suture runs.
DATED_CHAT = (
    "{{- bos_token }}\n{%- if not date_string is defined %}\n    {%- set date_string = strftime_now('%d') %}\n{%- endif %}\n"
    "{%- for message in messages %}\n    {{- message['role'] + message['content'] | trim + '<|eot_id|>' }}\n{%- endfor %}\n")
SPLIT_SYSTEM = (
    "{%- if messages[0]['role'] == 'system' %}\n    {%- set first = messages[0]['content'] | trim %}\n"
    "    {%- set rest = messages[1:] %}\n{%- else %}\n    {%- set first = '' %}\n    {%- set rest = messages %}\n{%- endif %}\n"
    "{{ bos_token }}{% for message in rest %}\n  {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\n"
    "    {{ raise_exception('roles must take turns') }}\n  {% endif %}\n"
    "  {% set content = '<<' + first + '>>' + message['content'] if loop.index0 == 0 else message['content'] %}\n"
    "  {{ '[' + message['role'] + '] ' + content.strip() }}  \n{% endfor %}")
# One feature each, as changes of a plain template: its loop, the message's role and its content.
PLAIN = ("{% for message in @LIST %}@IF{{ '<|im_start|>' + message['role'] + '\\n' + @CONTENT + '<|im_end|>@LINE' }}@END"
         "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def plain(loop="messages", before="", content="message['content']", line="\\n", after=""):
    return (PLAIN.replace("@LIST", loop).replace("@IF", before).replace("@CONTENT", content).replace("@LINE", line)
            .replace("@END", after))


TEMPLATES = {
    "chatml": CHATML, "llama3": LLAMA3_CHAT, "tools": TOOLS_CHAT, "dated": DATED_CHAT, "split-system": SPLIT_SYSTEM,
    "plain": plain(), "no-newline": plain(line=""), "strip": plain(content="message['content'].strip()"),
    "title": plain(content="message['content'] | title"), "text-slice": plain(content="message['content'][1:]"),
    "no-system": plain(before="{% if message['role'] != 'system' %}", after="{% endif %}"), "rest": plain(loop="messages[1:]"),
    "tokens": "{{ bos_token }}" + plain(after="{{ eos_token }}"), "text-outside": "\n {% set a = 1 %}\n x\n" + plain() + " end\n\n",
    "no-system-allowed": "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + plain(),
}
REFUSED = {"dated", "title", "text-slice"}


def chat_folder(folder, template, place):
    from transformers import PreTrainedTokenizerFast

    package = make("llama3")
    package.save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<|endoftext|>", "eos_token": {"content": "<|im_end|>", "__type": "AddedToken"},
              "tokenizer_class": "PreTrainedTokenizerFast"}
    if place == "chat_template.jinja":
        (folder / place).write_text(template)
    else:
        config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return package, PreTrainedTokenizerFast.from_pretrained(folder)


def conversations(seed, count):
    rng = random.Random(seed)
    contents = texts(3)[:200]
    roles = [["user"], ["system", "user"], ["user", "assistant", "user"], ["system", "user", "assistant", "user"],
             ["assistant", "system"], ["user", "user"]]
    return [[{"role": role, "content": rng.choice(contents)} for role in rng.choice(roles)] for _ in range(count)]


def prompt_of(reference, chat):
    from jinja2 import TemplateError

    try:
        return reference.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    except TemplateError:
        return None


def assert_refused(folder, data):
    done = subprocess.run([SUTURE, "tokenize", folder, "--chat"], input=data, capture_output=True, timeout=120)
    assert done.returncode == 2 and b"apply_chat_template" in done.stderr, done.stderr.decode()


def as_lines(chats):
    return "".join(json.dumps(chat) + "\n" for chat in chats).encode()


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("place", ["tokenizer_config.json", "chat_template.jinja"])
def test_conversations(name, place, tmp_path):
    package, reference = chat_folder(tmp_path, TEMPLATES[name], place)
    chats = conversations(2, 100)
    if name in REFUSED:
        assert_refused(tmp_path, as_lines(chats))
        return
    prompts = [prompt_of(reference, chat) for chat in chats]
    raised = [chat for chat, prompt in zip(chats, prompts) if prompt is None]
    assert bool(raised) == (name in ("split-system", "no-system-allowed"))
    if raised:
        assert_refused(tmp_path, as_lines(raised[:1]))
    chats, prompts = zip(*[(chat, prompt) for chat, prompt in zip(chats, prompts) if prompt is not None])
    got = [[int(token) for token in line.split()] for line in tokenize(tmp_path, as_lines(chats), "--chat").split(b"\n")[:-1]]
    expected = [package.encode(prompt, add_special_tokens=False).ids for prompt in prompts]
    assert_equal_lists(got, expected, prompts)


def test_template_that_needs_a_token_not_configured(tmp_path):
    chat_folder(tmp_path, TEMPLATES["tokens"], "chat_template.jinja")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>"}))
    assert_refused(tmp_path, as_lines(conversations(2, 1)))
