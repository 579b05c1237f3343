// Where a browser comes from: another site, or a connection that is not encrypted.

import assert from 'node:assert/strict'
import {begin} from './steps.mjs'

export default async ({open, world, look}) => {
  const page = await open()
  await begin(page, world.signInURL)
  await page.route(`${world.otherSite}/`, route => route.fulfill({contentType: 'text/html',
    body: `<form method="post" action="${world.url}/sign-out"><button>Win</button></form>`}))
  await page.goto(world.otherSite)
  await page.getByRole('button').click()
  await page.getByRole('heading', {name: 'This was not sent from here'}).waitFor()
  await look(page, 'error')
  await page.goto('/account')
  assert.equal(new URL(page.url()).pathname, '/account')

  // The same server under a name that is not this machine's, as over a network.
  await page.goto(`${world.unencrypted}/sign-in`)
  await page.getByText('Your browser will not keep you signed in here.').waitFor()
  await look(page, 'sign-in-unencrypted')
  await page.getByLabel('E-mail address').fill('admin@localhost')
  await page.getByLabel('Password').fill('x')
  await page.getByRole('button', {name: 'Sign in'}).click()
  await page.getByRole('heading', {name: 'This works over HTTPS only'}).waitFor()
}
