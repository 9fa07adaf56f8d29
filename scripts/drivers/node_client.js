// node-postgres: a parser for a number, set once for the process.
const { Client, types } = require('pg');
const readline = require('readline');

const connect = async () => {
  const client = new Client({ connectionString: process.env.GATE });
  await client.connect();
  return client;
};

const check = async (name, client) => {
  const { rows: [row] } = await client.query('SELECT h, m, ms FROM t');
  const right = row.h === 'hstore k' && row.m === 'mood fine' && JSON.stringify(row.ms) === '["sad","fine"]';
  if (!right) { console.log(`FAILED ${name}: ${JSON.stringify(row)}`); process.exit(1); }
};

(async () => {
  const used = await connect();
  const idle = await connect();
  const { rows } = await used.query("SELECT typname, oid, typarray FROM pg_type WHERE typname IN ('hstore', 'mood')");
  const known = Object.fromEntries(rows.map((row) => [row.typname, row]));
  types.setTypeParser(known.hstore.oid, (text) => `hstore ${text.slice(1, 2)}`);
  types.setTypeParser(known.mood.oid, (text) => `mood ${text}`);
  types.setTypeParser(known.mood.typarray, (text) => text.slice(1, -1).split(','));
  await check('before', used);
  console.log('ready', require('pg/package.json').version);
  let rounds = 0;
  for await (const _ of readline.createInterface({ input: process.stdin })) {
    await check('used before', used);
    await check('idle before', idle);
    const fresh = await connect();
    await check('new', fresh);
    await fresh.end();
    console.log('ok');
    if (++rounds === 2) process.exit(0);
  }
})().catch((e) => { console.log(`FAILED ${e.stack}`); process.exit(1); });
