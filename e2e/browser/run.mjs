// Does in a real browser what the flows beside this file say: node run.mjs MODULES CHROMIUM. Whoever has started it sends a
// line of JSON for each flow, its name and what it has to know, and gets one back that says what was wrong. What no browser
// can do, a flow asks for meanwhile: a line out, and one back.

import {createRequire} from 'node:module'
import {createInterface} from 'node:readline'
import {join} from 'node:path'
import {looks} from './looks.mjs'

const [modules, executablePath] = process.argv.slice(2)
const require = createRequire(join(modules, 'any.js'))
const axe = require('axe-core').source

const lines = createInterface({input: process.stdin})[Symbol.asyncIterator]()
const say = message => console.log(JSON.stringify(message))
const ask = async what => {
  say({ask: what})
  return JSON.parse((await lines.next()).value)
}

const browser = await require('playwright-core').chromium.launch({
  executablePath,
  timeout: 120_000,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--host-resolver-rules=MAP *.test 127.0.0.1'],
})
for await (const line of lines) {
  const {flow, world} = JSON.parse(line)
  say({done: true, complaints: await run(flow, world)})
}
await browser.close()

async function run(name, world) {
  const complaints = []
  const contexts = []

  // open returns a page in a window of its own, which knows no cookies. Whatever the browser complains of fails the flow.
  async function open(options = {}) {
    const context = await browser.newContext({baseURL: world.url, ...options})
    contexts.push(context)
    context.setDefaultTimeout(world.patience)
    const page = await context.newPage()
    page.on('pageerror', e => complaints.push(`error in the page: ${e}`))
    page.on('dialog', d => {
      if (d.type() === 'beforeunload') return // a flow that leaves a page with something on it answers
      complaints.push(`dialog: ${d.message()}`)
      void d.dismiss()
    })
    page.on('console', m => {
      // That a form is refused is what flows ask for.
      if (m.type() === 'error' && !/responded with a status of (4\d\d|503)/.test(m.text())) complaints.push(`console: ${m.text()}`)
    })
    page.on('request', r => {
      if (!world.origins.includes(new URL(r.url()).origin)) complaints.push(`request to another host: ${r.url()}`)
    })
    return page
  }

  try {
    const {default: flow} = await import(`./${name}.mjs`)
    await flow({open, ask, world, look: looks(world.screenshots, axe, complaints)})
  } catch (e) {
    complaints.push(e.stack ?? String(e))
  }
  for (const context of contexts) await context.close()
  return complaints
}
