// Names that somebody has chosen to do harm, or that are just long.

import assert from 'node:assert/strict'
import {begin, count, signIn, text} from './steps.mjs'

export default async ({open, world, look}) => {
  const page = await open({userAgent: world.agent})
  await begin(page, world.signInURL)
  await page.goto('/account')
  const seen = await text(page, 'main')
  for (const name of [...world.names, world.email, world.agent]) assert.ok(seen.includes(name), `${name} is not in ${seen}`)
  await look(page, 'account-hostile')

  const typed = '"><script>alert(1)</script>'
  await page.context().clearCookies()
  await signIn(page, typed, 'x')
  await page.getByText('E-mail address or password is wrong.').waitFor()
  assert.equal(await page.getByLabel('E-mail address').inputValue(), typed)
  await page.goto('/sign-in?note=%3Cscript%3Ealert(1)%3C/script%3E')
  assert.equal(await count(page.locator('.note')), 0)
}
