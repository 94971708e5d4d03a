// Drives the provider's SDK: reads JSON requests from standard input, one per line, and prints the bodies it got.
// The first line configures the SDK; what it leaves out is in the environment. "calls" says how many requests to make at once.
const { API } = require("@foxy.io/sdk/backend");
const { createInterface } = require("node:readline");

let api;

async function answer({ configure, relations = [], method = "get", body, calls = 1 }) {
  if (configure) {
    const env = process.env;
    const found = {
      base: `${env.FOXY_API_URL}/`,
      clientId: env.FOXY_API_CLIENT_ID,
      clientSecret: env.FOXY_API_CLIENT_SECRET,
      refreshToken: env.FOXY_API_REFRESH_TOKEN,
      ...configure,
    };
    api = new API({ ...found, base: new URL(found.base), level: 0 });
    return { configured: true };
  }
  const node = () => relations.reduce((node, relation) => node.follow(relation), api);
  const responses = await Promise.all(Array.from({ length: calls }, () => node()[method](body)));
  return { body: await responses[0].json() };
}

(async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await answer(JSON.parse(line))));
  }
})();
