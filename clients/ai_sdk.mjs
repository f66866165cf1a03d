// Through the AI SDK (npm): text, streams, tools, typed answers. Prints one JSON document with what passed and failed.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { Output, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

const provider = createOpenAICompatible({
  name: 'mollm',
  baseURL: process.env.CLIENTS_BASE_URL,
  apiKey: process.env.CLIENTS_KEY,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = provider(process.env.CLIENTS_MODEL);
const common = { model, maxRetries: 0 };
const weather = 'What is the weather in Paris?';
const city = z.object({ name: z.string(), country: z.string() });

function weatherTool(called) {
  return tool({
    description: 'Tell the weather of a city.',
    inputSchema: z.object({ location: z.string() }),
    execute: async ({ location }) => {
      called.push(location);
      return 'Rain, 11 degrees.';
    },
  });
}

async function collect(stream) {
  const found = [];
  for await (const piece of stream) found.push(piece);
  return found;
}

const tests = {
  'a question is answered, and counted': async () => {
    const result = await generateText({ ...common, prompt: 'What is 6 * 7?' });
    assert.match(result.text, /42/);
    assert.equal(result.finishReason, 'stop');
    assert.ok(result.usage.totalTokens > 0);
  },
  'a stream grows': async () => {
    const result = streamText({ ...common, prompt: 'Count from 1 to 30.' });
    const pieces = await collect(result.textStream);
    assert.ok(pieces.length > 5);
    assert.match(pieces.join(''), /29, 30/);
    assert.ok((await result.usage).totalTokens > 0);
  },
  'a loop of tools ends with what the tool said': async () => {
    const called = [];
    const tools = { get_weather: weatherTool(called) };
    const result = await generateText({ ...common, prompt: weather, tools, stopWhen: stepCountIs(3) });
    assert.deepEqual(called, ['Paris']);
    assert.match(result.text, /Rain, 11 degrees\./);
    assert.equal(result.steps.length, 2);
  },
  'a streamed loop of tools does too': async () => {
    const called = [];
    const tools = { get_weather: weatherTool(called) };
    const result = streamText({ ...common, prompt: weather, tools, stopWhen: stepCountIs(3) });
    assert.match((await collect(result.textStream)).join(''), /Rain, 11 degrees\./);
    assert.deepEqual(called, ['Paris']);
  },
  'a call that is required is made': async () => {
    const called = [];
    const tools = { get_weather: weatherTool(called) };
    await generateText({ ...common, prompt: 'Hello', tools, toolChoice: 'required' });
    assert.equal(called.length, 1);
  },
  'an answer has the type that was asked for': async () => {
    const prompt = "The city 'Oslo' in the country 'Norway'";
    const result = await generateText({ ...common, prompt, output: Output.object({ schema: city }) });
    city.parse(result.output);
  },
  'a typed answer is streamed': async () => {
    const prompt = "The city 'Oslo' in the country 'Norway'";
    const result = streamText({ ...common, prompt, output: Output.object({ schema: city }) });
    const grown = await collect(result.partialOutputStream);
    assert.ok(grown.length > 1);
    city.parse(grown.at(-1));
  },
  'an error keeps its status': async () => {
    const unknown = generateText({ ...common, model: provider('nobody'), prompt: 'Hello' });
    await assert.rejects(unknown, (error) => error.statusCode === 404);
  },
};

const failures = {};
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
  } catch (error) {
    failures[name] = String(error.stack ?? error);
  }
}
const version = createRequire(import.meta.url)('ai/package.json').version;
console.log(JSON.stringify({ version, passed: Object.keys(tests).length - Object.keys(failures).length, failures }));
process.exit(Object.keys(failures).length ? 1 : 0);
