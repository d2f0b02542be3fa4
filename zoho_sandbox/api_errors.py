"""Errors of the API: each refusal with the status, code and words Zoho uses."""


class RefusalError(Exception):
    """A call that is answered with an error body instead of being carried out."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


NO_AUTHENTICATION = (
    "The request could not be authenticated as the authentication value you entered is invalid. "
    "Enter a valid authentication value and try again."
)
MINUTE_BLOCK = (
    "For security reasons your organization has been blocked as it have exceeded the maximum number of "
    "requests per minute that can originate from an organization."
)
IN_PROCESS = "You have reached the maximum number of in process requests allowed. Kindly try again after some time."


def unauthenticated() -> RefusalError:
    return RefusalError(401, 14, NO_AUTHENTICATION)


def unauthorized() -> RefusalError:
    return RefusalError(401, 57, "You are not authorized to perform this operation")


def wrong_organization(organization_id: str) -> RefusalError:
    return RefusalError(400, 6041, f"This user is not associated with the CompanyID/CompanyName:{organization_id}.")


def invalid_value(param: str) -> RefusalError:
    return RefusalError(400, 2, f"Invalid value passed for {param}")


def missing(noun: str) -> RefusalError:
    return RefusalError(404, 1002, f"{noun} does not exist.")


def invalid_url() -> RefusalError:
    return RefusalError(404, 5, "Invalid URL Passed")


def broken_json() -> RefusalError:
    return RefusalError(400, 1038, "JSON is not well formed")


def internal() -> RefusalError:
    return RefusalError(500, 1000, "Internal error")


def too_many_per_minute() -> RefusalError:
    return RefusalError(429, 44, MINUTE_BLOCK)


def too_many_per_day(limit: int) -> RefusalError:
    return RefusalError(
        429, 45, f"The API call for this organization has exceeded the maximum call rate limit of {limit}."
    )


def too_many_at_once() -> RefusalError:
    return RefusalError(429, 1070, IN_PROCESS)
