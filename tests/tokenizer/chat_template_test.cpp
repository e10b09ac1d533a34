#include "suture/chat_template.h"

#include <string>

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

TEST(ChatTemplate, OthersAreRefusedWithTheRemedy) {
  for (const std::string& jinja :
       {std::string(), kChatMl + "text", kChatMl + "{{ '<|tool|>' }}",
        kChatMl + "{{ strftime_now }}", "{{ bos_token }}" + kChatMl, kLlama3 + "{# <think> #}",
        std::string("{% for message in messages %}[INST]{% endfor %}")}) {
    const std::string message =
        thrown_by<UsageError>([&] { ChatTemplate::recognise(jinja, "", "model"); });
    EXPECT_TRUE(holds(message, "apply_chat_template")) << jinja;
    EXPECT_TRUE(test::is_one_plain_line(message));
  }
}

TEST(ChatTemplate, RefusesOtherRolesAndNoMessages) {
  const ChatTemplate chat = ChatTemplate::recognise(kChatMl, "");
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { chat.render({{"tool", ""}}, true); }), "'tool'"));
  EXPECT_TRUE(holds(thrown_by<UsageError>([&] { chat.render({}, true); }), "without messages"));
}

}  // namespace
}  // namespace suture
