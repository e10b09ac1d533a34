#include "suture/chat_template.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "suture/error.h"

#include "support/thrown.h"

namespace suture {
namespace {

using test::holds;
using test::thrown_by;

const std::string kChatMl =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' "
    "}}{% endif %}";
const std::string kDefaultSystem =
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}"
    "{% endif %}";
const std::string kLlama3 =
    "{% for message in messages %}{% if loop.index0 == 0 %}{{ bos_token }}{% endif %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | "
    "trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}";

TEST(ChatTemplate, ChatMl) {
  const ChatTemplate chat = ChatTemplate::recognise(kChatMl, "");
  EXPECT_EQ(chat.render({{"user", " hi "}}, true),
            "<|im_start|>user\n hi <|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(chat.render({{"user", "hi"}}, false), "<|im_start|>user\nhi<|im_end|>\n");
}

TEST(ChatTemplate, DefaultSystemMessageYieldsToOne) {
  const ChatTemplate chat = ChatTemplate::recognise(kDefaultSystem + kChatMl, "");
  EXPECT_EQ(chat.render({{"user", "hi"}}, false),
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n");
  EXPECT_EQ(chat.render({{"system", "x"}}, false), "<|im_start|>system\nx<|im_end|>\n");
}

TEST(ChatTemplate, Llama3TrimsContents) {
  const ChatTemplate chat = ChatTemplate::recognise(kLlama3, "<B>");
  EXPECT_EQ(chat.render({{"user", " \n\u3000hi\t"}}, true),
            "<B><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
}

std::string rendered(const std::string& jinja, const std::vector<ChatMessage>& messages,
                     bool add_generation_prompt = false) {
  return ChatTemplate::recognise(jinja, "<B>", "model").render(messages, add_generation_prompt);
}

std::string in_loop(const std::string& body) {
  return "{% for message in messages %}" + body + "{% endfor %}";
}

const std::vector<ChatMessage> kTalk{{"system", "s"}, {"user", " u "}, {"assistant", "a"}};

TEST(ChatTemplate, WritesWhatTheTemplateSaysAndNoMore) {
  EXPECT_EQ(rendered(in_loop("{{ message['role'] + message['content'] + '<|im_end|>' }}"), kTalk),
            "systems<|im_end|>user u <|im_end|>assistanta<|im_end|>");
  EXPECT_EQ(rendered(in_loop("{{ message.content.strip() }}|"), kTalk), "s|u|a|");
  EXPECT_EQ(rendered(in_loop("{{ '[' + message.content | trim + ']' }}"), kTalk), "[s][u][a]");
  EXPECT_EQ(
      rendered(in_loop("{% if message['role'] != 'system' %}{{ message.content }}{% endif %}"),
               kTalk),
      " u a");
  EXPECT_EQ(rendered("{% for m in messages[1:] %}{{ m.role }}{% endfor %}", kTalk),
            "userassistant");
}

TEST(ChatTemplate, OperatorsAndTests) {
  EXPECT_EQ(rendered("{{ messages | length % 2 == 1 and not tools }}", kTalk), "True");
  EXPECT_EQ(rendered("{{ tools is defined }} {{ date_string is defined }} {{ tools }}", kTalk),
            "True False None");
  EXPECT_EQ(rendered("{{ -7 % 3 }} {{ 1 ~ 'x' + 'y' }}{{ 'a' if false }}", kTalk), "2 1xy");
  EXPECT_EQ(rendered("{{ messages[-1].role in ['user', 'assistant'] }}", kTalk), "True");
  EXPECT_EQ(rendered("{{ messages[7] is defined }}{{ bos_token }}{{ eos_token }}", kTalk),
            "False<B>");
}

TEST(ChatTemplate, VariablesOfALoopEndWithEachPass) {
  EXPECT_EQ(
      rendered("{% set x = 'o' %}" +
                   in_loop("{{ x }}{% set x = x + 'i' %}{{ x }}{% if loop.last %}.{% endif %}") +
                   "{{ x }}",
               kTalk),
      "ooiooiooi.o");
}

TEST(ChatTemplate, WhiteSpaceIsTransformers) {
  EXPECT_EQ(rendered("a\n  {% if true %}\n b {{- 'c' }}\n  {% endif %}\n{# d #}\ne \n\n", kTalk),
            "a\n bc\ne \n");
  EXPECT_EQ(rendered("a \n {%- if true -%} \n b \r\n {%+ endif +%}\nc", kTalk), "ab \n \nc");
}

TEST(ChatTemplate, OthersAreRefusedWithTheirTextAndTheRemedy) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"{{ messages[0].content | title }}", "the filter 'title'"},
      {"{{ messages[0].content | trim('x') }}", "the filter 'trim' with arguments"},
      {"{{ strftime_now('%Y') }}", "the function 'strftime_now'"},
      {"{{ messages[0].content.split('x') }}", "the call of 'split'"},
      {"{{ messages[0].items }}", "the member 'items'"},
      {"{{ messages['__class__'] }}", "the member '__class__'"},
      {"{{ pad_token }}", "the variable 'pad_token'"},
      {"{% set ns = namespace(a=1) %}", "the function 'namespace'"},
      {"{% macro f() %}{% endmacro %}", "the statement 'macro'"},
      {"{% generation %}{% endgeneration %}", "the statement 'generation'"},
      {"{% for m in messages if m %}{% endfor %}", "'if'"},
      {"{% for m in messages %}{% else %}{% endfor %}", "'else'"},
      {"\n\n{{ 1 == 1 == 1 }}", "a chain of comparisons in line 3"},
      {"{{ 1.5 }}", "the number 1"},
      {"{{ '\\x41' }}", "the escape"},
      {"{{ {} }}", "the character '{'"},
      {"{{ 'a }}", "a text without end"},
      {"{{ 1 ", "a tag without end"},
      {"{# 1 ", "a comment without end"},
      {"{% if true %}", "a block without end"},
      {"{% endif %}", "the statement 'endif'"},
      {"{{ }}", "an unfinished expression"},
      {"{{ loop.first }}", "'loop'"},
      {"\xff", "not UTF-8"}};
  for (const auto& [jinja, part] : cases) {
    const std::string message =
        thrown_by<UsageError>([&] { ChatTemplate::recognise(jinja, "", "model"); });
    EXPECT_TRUE(holds(message, part)) << jinja << "\n" << message;
    EXPECT_TRUE(holds(message, "apply_chat_template")) << jinja;
    EXPECT_TRUE(test::is_one_plain_line(message));
  }
}

TEST(ChatTemplate, WhatIsReachedIsRefusedOnlyThen) {
  const std::string guarded =
      "{% if tools %}{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% endif %}"
      "{% if messages[0].role == 'system' %}{{ raise_exception('No system.') }}{% endif %}ok";
  EXPECT_EQ(rendered(guarded, {{"user", "x"}}), "ok");
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { rendered(guarded, kTalk); }), "'No system.'"));
  for (const std::string& jinja : std::vector<std::string>{
           "{{ tools | tojson }}", "{{ messages[9].role }}", "{{ messages }}", "{{ 'a' + 1 }}",
           "{{ 1 % 0 }}", "{% for t in tools %}{% endfor %}", "{{ messages[0].thinking }}",
           "{{ messages[0] == messages[1] }}", "{{ tools.x }}", "{{ 'abc'[0] }}"}) {
    const std::string message = thrown_by<UsageError>([&] { rendered(jinja, kTalk); });
    EXPECT_TRUE(holds(message, "in line 1")) << jinja;
    EXPECT_TRUE(holds(message, "apply_chat_template")) << jinja;
  }
}

std::string repeated(const std::string& text, int count) {
  std::string result;
  for (int i = 0; i < count; ++i) result += text;
  return result;
}

TEST(ChatTemplate, HostileTemplatesAreRefused) {
  for (const std::string& jinja : std::vector<std::string>{
           "{{ " + repeated("(", 100000), "{{ " + repeated("not ", 100000) + "1 }}",
           "{{ 1" + repeated(" + 1", 100000) + " }}", "{{ " + repeated("[", 100000),
           "{{ messages" + repeated("[0", 100000), "{{ 1" + repeated(" if 1", 100000) + " }}",
           "{{ 1" + repeated(" | trim", 100000) + " }}", repeated("{% if 1 %}", 100000),
           std::string((1 << 20) + 1, 'x')}) {
    const std::string message = thrown_by<UsageError>([&] { ChatTemplate::recognise(jinja, ""); });
    EXPECT_TRUE(test::is_one_plain_line(message)) << jinja.substr(0, 20);
  }
  // An error keeps little of a tag, however many names the tag has.
  std::string wide = "x";
  for (int i = 0; i < 15; ++i) wide = "(" + wide + "+" + wide + ")";
  EXPECT_TRUE(test::is_one_plain_line(
      thrown_by<UsageError>([&] { ChatTemplate::recognise("{{ " + wide + " }}", ""); })));
  const std::string doubling = "{% set x = 'xxxxxxxx' %}" + repeated("{% set x = x + x %}", 60);
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { rendered(doubling, kTalk); }), "more steps"));
  const std::string loops = repeated("{% for m in messages %}", 40) + repeated("{% endfor %}", 40);
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { rendered(loops, kTalk); }), "more steps"));
}

TEST(ChatTemplate, RefusesOtherRolesAndNoMessages) {
  const ChatTemplate chat = ChatTemplate::recognise(kChatMl, "");
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { chat.render({{"tool", ""}}, true); }), "'tool'"));
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { chat.render({}, true); }), "without messages"));
}

}  // namespace
}  // namespace suture
