// Vercel's AI SDK in both dialects, with each of its providers that speaks one. A further dialect is a row of DIALECTS.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embed, embedMany, generateText, isStepCount, Output, RetryError, streamText, tool } from "ai";
import { z } from "zod";

const URL = process.env.INTERLOCK_URL;
const KEY = process.env.INTERLOCK_KEY;
globalThis.AI_SDK_LOG_WARNINGS = false;

const DIALECTS = {
  "openai chat": (key) => createOpenAI({ baseURL: `${URL}/v1`, apiKey: key }).chat,
  "openai responses": (key) => createOpenAI({ baseURL: `${URL}/v1`, apiKey: key }),
  "openai-compatible": (key) =>
    createOpenAICompatible({
      name: "interlock",
      baseURL: `${URL}/v1`,
      apiKey: key,
      includeUsage: true,
      supportsStructuredOutputs: true,
    }),
  anthropic: (key) => createAnthropic({ baseURL: `${URL}/v1`, apiKey: key }),
};

// Its Responses provider sends back the names of items, unless it is told that the vendor keeps none: then the items.
const KEPT = {
  "what is kept": {},
  "nothing kept": { providerOptions: { openai: { store: false } } },
};

const PICTURE = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);

const weather = tool({
  description: "The weather of a city.",
  inputSchema: z.object({ city: z.string(), days: z.number().int() }),
  execute: async ({ city, days }) => `rain in ${city} for ${days} days`,
});
const clock = tool({
  inputSchema: z.object({ zone: z.string() }),
  execute: async ({ zone }) => `noon in ${zone}`,
});
const person = z.object({ name: z.string(), age: z.number().int() });

for (const [dialect, connect] of Object.entries(DIALECTS)) {
  for (const name of ["gpt", "answers", "claude"]) {
    describe(`${dialect}, ${name}`, () => {
      const ask = (prompt, more = {}) => ({ model: connect(KEY)(name), prompt, maxRetries: 0, ...more });

      test("chat", async () => {
        const answer = await generateText(ask("hi", { system: "be brief" }));
        assert.equal(answer.text, "You said: hi. I was told: be brief.");
        assert.equal(answer.finishReason, "stop");
        assert.ok(answer.usage.inputTokens > 0 && answer.usage.outputTokens > 0);
        assert.equal(answer.response.modelId, name);
        assert.match(answer.response.headers["x-interlock-decision-id"], /^dec_/);
      });

      test("streaming", async () => {
        const answer = streamText(ask("a b c"));
        const pieces = [];
        for await (const piece of answer.textStream) pieces.push(piece);
        assert.equal(pieces.join(""), "You said: a b c.");
        assert.ok(pieces.length > 1);
        assert.equal(await answer.finishReason, "stop");
        assert.equal((await answer.usage).outputTokens, 5);
      });

      test("an answer that cites is read, and its sources are there where the provider looks for them", async () => {
        const whole = await generateText(ask("[[cite]]"));
        const streamed = streamText(ask("[[cite]]"));
        for (const answer of [whole, streamed]) {
          assert.equal(await answer.text, "You said: [[cite]].");
          const pages = (await answer.sources).map((source) => source.url);
          assert.deepEqual(pages, dialect === "openai-compatible" ? [] : ["https://news.example/rain"]);
        }
        const messages = [
          { role: "user", content: "[[cite]]" },
          ...whole.response.messages,
          { role: "user", content: "and now" },
        ];
        for (const more of Object.values(KEPT)) {
          const next = await generateText(ask(undefined, { messages, ...more }));
          assert.equal(next.text, "You said: and now.");
        }
      });

      test("an answer that reaches its limit says so", async () => {
        const answer = await generateText(ask("one two three", { maxOutputTokens: 3 }));
        assert.deepEqual([answer.text, answer.finishReason], ["You said: one", "length"]);
      });

      test("tools are called and answered", async () => {
        const answer = await generateText(
          ask("'Zürich' for 3 days", { tools: { weather, clock }, stopWhen: isStepCount(3) }),
        );
        assert.equal(answer.text, "The tool said rain in Zürich for 3 days.");
        assert.equal(answer.steps.length, 2);
      });

      test("parallel calls are streamed, and each is answered", async () => {
        const answer = streamText(
          ask("[[each]] 'Wien' 2", { tools: { weather, clock }, stopWhen: isStepCount(3) }),
        );
        let text = "";
        for await (const piece of answer.textStream) text += piece;
        assert.equal(text, "The tool said rain in Wien for 2 days and noon in Wien.");
      });

      for (const [kept, options] of Object.entries(KEPT)) {
        test(`a conversation goes on for turns, also after thoughts, from ${kept}`, async () => {
          let said = [];
          for (const prompt of ["hi", "[[think]]", "and now", "so"]) {
            for (const streamed of [true, false]) {
              said = [...said, { role: "user", content: prompt }];
              const given = ask(undefined, { messages: said, ...options });
              const answer = streamed ? streamText(given) : await generateText(given);
              assert.equal(await answer.text, `You said: ${prompt}.`);
              said = [...said, ...(await answer.response).messages];
            }
          }
        });

        test(`a tool loop, and what follows, goes on after thoughts, from ${kept}`, async () => {
          const more = { tools: { weather }, stopWhen: isStepCount(3), ...options };
          // They come back where the client keeps their signature, or names what is kept with it.
          const back = name === "claude" && dialect !== "openai chat";
          const expected = `The tool said rain in Bern for 3 days. I had thought: ${back ? "let me see" : "nothing"}.`;
          for (const run of [generateText, streamText]) {
            const messages = [{ role: "user", content: "[[think]] [[recall]] 'Bern' 3" }];
            const answer = await run(ask(undefined, { messages, ...more }));
            assert.equal(await answer.text, expected);
            const next = [...messages, ...(await answer.response).messages, { role: "user", content: "and now" }];
            const last = await generateText(ask(undefined, { messages: next, ...options }));
            assert.match(last.text, /^You said: and now\./);
          }
        });
      }

      test("a tool can be forced", async () => {
        const answer = await generateText(
          ask("'CET'", { tools: { weather, clock }, toolChoice: { type: "tool", toolName: "clock" } }),
        );
        assert.deepEqual(
          answer.toolCalls.map((call) => [call.toolName, call.input]),
          [["clock", { zone: "CET" }]],
        );
      });

      test("structured output", async () => {
        const answer = await generateText(ask("'Ada' is 36", { output: Output.object({ schema: person }) }));
        assert.deepEqual(answer.output, { name: "Ada", age: 36 });
      });

      test("structured output grows as it is streamed", async () => {
        const answer = streamText(ask("'Ada' is 36", { output: Output.object({ schema: person }) }));
        const grown = [];
        for await (const part of answer.partialOutputStream) grown.push(part);
        assert.ok(grown.length > 1);
        assert.deepEqual(grown.at(-1), { name: "Ada", age: 36 });
      });

      test("images", async () => {
        const content = [
          { type: "text", text: "look" },
          { type: "image", image: PICTURE, mediaType: "image/png" },
        ];
        const answer = await generateText(ask(undefined, { messages: [{ role: "user", content }] }));
        assert.match(answer.text, /I see image/);
      });

      for (const [prompt, status, retryable] of [
        ["[[429]]", 429, true],
        ["[[500]]", 502, true],
        ["charge my card 4111 1111 1111 1111", 403, false],
      ]) {
        test(`an APICallError for ${prompt}`, async () => {
          const error = await generateText(ask(prompt)).then(assert.fail, (error) => error);
          assert.ok(APICallError.isInstance(error), String(error));
          assert.equal(error.statusCode, status);
          assert.equal(error.isRetryable, retryable);
          assert.ok(error.data?.error?.message, "the error's body was not understood");
        });
      }

      test("u8 a stream that is cut has an error in it, and no end", async () => {
        const parts = [];
        for await (const part of streamText({ ...ask("one two three four five [[cut]]"), onError() {} }).fullStream) {
          parts.push(part);
        }
        assert.ok(parts.some((part) => part.type === "error"));
        assert.ok(!parts.some((part) => part.type === "finish" && part.finishReason === "stop"));
      });
    });
  }

  describe(`${dialect}, before any vendor is asked`, () => {
    for (const [what, key, name, status] of [
      ["an unknown model", KEY, "nobody", 404],
      ["a wrong key", "wrong", "gpt", 401],
    ]) {
      test(`${what} is an APICallError with its status`, async () => {
        const call = generateText({ model: connect(key)(name), prompt: "hi", maxRetries: 0 });
        const error = await call.then(assert.fail, (error) => error);
        assert.ok(APICallError.isInstance(error), String(error));
        assert.equal(error.statusCode, status);
        assert.equal(error.isRetryable, false);
      });
    }
  });
}

test("what may be tried again is tried again, and then given up", async () => {
  const model = DIALECTS["openai chat"](KEY)("gpt");
  const error = await generateText({ model, prompt: "[[429]]", maxRetries: 1 }).then(assert.fail, (error) => error);
  assert.ok(RetryError.isInstance(error), String(error));
  assert.equal(error.errors.length, 2);
});

for (const [provider, connect] of [
  ["openai", (name) => createOpenAI({ baseURL: `${URL}/v1`, apiKey: KEY }).embeddingModel(name)],
  ["openai-compatible", (name) => DIALECTS["openai-compatible"](KEY).embeddingModel(name)],
]) {
  test(`embeddings by ${provider}`, async () => {
    const one = await embed({ model: connect("embed"), value: "two words", maxRetries: 0 });
    const many = await embedMany({ model: connect("embed"), values: ["one", "two words"], maxRetries: 0 });
    assert.equal(many.embeddings.length, 2);
    assert.deepEqual(many.embeddings[1], one.embedding);
    assert.equal(one.usage.tokens, 2);
    const error = await embed({ model: connect("embed"), value: "[[429]]", maxRetries: 0 }).catch((error) => error);
    assert.ok(APICallError.isInstance(error), String(error));
    assert.equal(error.statusCode, 429);
  });
}
