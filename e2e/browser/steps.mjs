// What several flows do.

export const password = 'quiet river under glass'

// signIn fills in the form to sign in with, and sends it.
export async function signIn(page, email, word) {
  await page.goto('/sign-in')
  await page.getByLabel('E-mail address').fill(email)
  await page.getByLabel('Password').fill(word)
  await page.getByRole('button', {name: 'Sign in', exact: true}).click()
}

// begin signs in with a one-time link and chooses a password.
export async function begin(page, link) {
  await page.goto(link)
  await page.getByRole('button', {name: 'Sign in'}).click()
  await choose(page, password)
}

// choose chooses a password where none is asked for.
export async function choose(page, word) {
  await page.getByLabel('New password', {exact: true}).fill(word)
  await page.getByLabel('The same again').fill(word)
  await page.getByLabel('The same again').press('Enter')
  await page.getByText('Your password is set.').waitFor()
}

// signOut ends the session, from the menu.
export async function signOut(page) {
  await page.getByLabel(/^Your menu/).click()
  await page.getByRole('button', {name: 'Sign out'}).click()
}

// loseSession has the browser forget its session.
export const loseSession = page => page.context().clearCookies({name: '__Host-apikeyd'})

// text returns what a reader sees of an element, when all of the page has come: what was waited for may be at its top.
export async function text(page, selector) {
  await page.waitForLoadState()
  return page.locator(selector).innerText()
}

// count returns how many elements there are, on a page of which all has come.
export async function count(locator) {
  await locator.page().waitForLoadState()
  return locator.count()
}
