// The protocol of every client here: a line of standard input, a line of JSON.
'use strict';

const readline = require('readline');

/**
 * Answers each line `WAY RESOURCE [CLIENT_ID]` with a token or with what the SDK says.
 *
 * `ways` maps the way to an async function of the resource and the client id, or undefined, which
 * gives the token and when it expires, in seconds since 1970.
 */
exports.serve = async (ways) => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [way, resource, clientId] = line.split(' ');
    let answer;
    try {
      const [token, expiresOn] = await ways[way](resource, clientId);
      answer = { token, expires_on: Math.floor(expiresOn) };
    } catch (error) {
      answer = { error: String(error) };
    }
    console.log(JSON.stringify(answer));
  }
};

/** One result for each argument list. */
exports.remember = (make) => {
  const made = new Map();
  return (...key) => {
    const name = key.join(' ');
    if (!made.has(name)) made.set(name, make(...key));
    return made.get(name);
  };
};
