// All of it without script.

import {begin, password, signIn, signOut} from './steps.mjs'

export default async ({open, world}) => {
  const page = await open({javaScriptEnabled: false})
  await begin(page, world.signInURL)
  await signOut(page)
  await page.getByText('You are signed out.').waitFor()
  await signIn(page, 'admin@localhost', password)
  await page.waitForURL('**/keys')
  await page.goto('/account')
  await page.getByRole('button', {name: /^End the session/}).click()
  await page.getByText('You are signed out.').waitFor()
}
