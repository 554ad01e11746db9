"""Docs for the tests of the code tasks, as their datasets hold them.

`HumanEval/0` is OpenAI's (openai/openai_humaneval, MIT); MBPP's 1 to 4 and 11 are Google's
(google-research-datasets/mbpp, CC-BY-4.0); the last of each `test` was written for these tests.
"""

from typing import Any

DOCS: dict[str, dict[str, list[dict[str, Any]]]] = {
    "openai/openai_humaneval": {
        "test": [
            {
                "task_id": "HumanEval/0",
                "prompt": 'from typing import List\n\n\ndef has_close_elements(numbers: List[float], threshold: float) -> bool:\n    """ Check if in given list of numbers, are any two numbers closer to each other than\n    given threshold.\n    >>> has_close_elements([1.0, 2.0, 3.0], 0.5)\n    False\n    >>> has_close_elements([1.0, 2.8, 3.0, 4.0, 5.0, 2.0], 0.3)\n    True\n    """\n',
                "canonical_solution": "    for idx, elem in enumerate(numbers):\n        for idx2, elem2 in enumerate(numbers):\n            if idx != idx2:\n                distance = abs(elem - elem2)\n                if distance < threshold:\n                    return True\n\n    return False\n",
                "test": "\n\nMETADATA = {\n    'author': 'jt',\n    'dataset': 'test'\n}\n\n\ndef check(candidate):\n    assert candidate([1.0, 2.0, 3.9, 4.0, 5.0, 2.2], 0.3) == True\n    assert candidate([1.0, 2.0, 3.9, 4.0, 5.0, 2.2], 0.05) == False\n    assert candidate([1.0, 2.0, 5.9, 4.0, 5.0], 0.95) == True\n    assert candidate([1.0, 2.0, 5.9, 4.0, 5.0], 0.8) == False\n    assert candidate([1.0, 2.0, 3.0, 4.0, 5.0, 2.0], 0.1) == True\n    assert candidate([1.1, 2.2, 3.1, 4.1, 5.1], 1.0) == True\n    assert candidate([1.1, 2.2, 3.1, 4.1, 5.1], 0.5) == False\n\n",
                "entry_point": "has_close_elements",
            },
            {
                "task_id": "own/1",
                "prompt": 'def double(number: int) -> int:\n    """ Twice the number.\n    >>> double(4)\n    8\n    """\n',
                "canonical_solution": "    return 2 * number\n",
                "test": "def check(candidate):\n    assert candidate(4) == 8\n    assert candidate(-1) == -2\n",
                "entry_point": "double",
            },
        ]
    },
    "google-research-datasets/mbpp": {
        "test": [
            {
                "task_id": 11,
                "text": "Write a python function to remove first and last occurrence of a given character from the string.",
                "code": "def remove_Occ(s,ch): \r\n    for i in range(len(s)): \r\n        if (s[i] == ch): \r\n            s = s[0 : i] + s[i + 1:] \r\n            break\r\n    for i in range(len(s) - 1,-1,-1):  \r\n        if (s[i] == ch): \r\n            s = s[0 : i] + s[i + 1:] \r\n            break\r\n    return s ",
                "test_list": [
                    'assert remove_Occ("hello","l") == "heo"',
                    'assert remove_Occ("abcda","a") == "bcd"',
                    'assert remove_Occ("PHP","P") == "H"',
                ],
                "test_setup_code": "",
                "challenge_test_list": [
                    'assert remove_Occ("hellolloll","l") == "helollol"',
                    'assert remove_Occ("","l") == ""',
                ],
            },
            {
                "task_id": -1,
                "text": "Write a function to find the last character of a text.",
                "code": "def last(text):\r\n  return text[-1]",
                "test_list": [
                    'assert last("abc") == "c"',
                    'assert last("x") == "x"',
                    'assert last(SETUP) == "p"',
                ],
                "test_setup_code": 'SETUP = "setup"',
                "challenge_test_list": [],
            },
        ],
        "prompt": [
            {
                "task_id": 1,
                "text": "Write a function to find the minimum cost path to reach (m, n) from (0, 0) for the given cost matrix cost[][] and a position (m, n) in cost[][].",
                "code": "R = 3\r\nC = 3\r\ndef min_cost(cost, m, n): \r\n\ttc = [[0 for x in range(C)] for x in range(R)] \r\n\ttc[0][0] = cost[0][0] \r\n\tfor i in range(1, m+1): \r\n\t\ttc[i][0] = tc[i-1][0] + cost[i][0] \r\n\tfor j in range(1, n+1): \r\n\t\ttc[0][j] = tc[0][j-1] + cost[0][j] \r\n\tfor i in range(1, m+1): \r\n\t\tfor j in range(1, n+1): \r\n\t\t\ttc[i][j] = min(tc[i-1][j-1], tc[i-1][j], tc[i][j-1]) + cost[i][j] \r\n\treturn tc[m][n]",
                "test_list": [
                    "assert min_cost([[1, 2, 3], [4, 8, 2], [1, 5, 3]], 2, 2) == 8",
                    "assert min_cost([[2, 3, 4], [5, 9, 3], [2, 6, 4]], 2, 2) == 12",
                    "assert min_cost([[3, 4, 5], [6, 10, 4], [3, 7, 5]], 2, 2) == 16",
                ],
                "test_setup_code": "",
                "challenge_test_list": [],
            },
            {
                "task_id": 2,
                "text": "Write a function to find the similar elements from the given two tuple lists.",
                "code": "def similar_elements(test_tup1, test_tup2):\r\n  res = tuple(set(test_tup1) & set(test_tup2))\r\n  return (res) ",
                "test_list": [
                    "assert similar_elements((3, 4, 5, 6),(5, 7, 4, 10)) == (4, 5)",
                    "assert similar_elements((1, 2, 3, 4),(5, 4, 3, 7)) == (3, 4)",
                    "assert similar_elements((11, 12, 14, 13),(17, 15, 14, 13)) == (13, 14)",
                ],
                "test_setup_code": "",
                "challenge_test_list": [],
            },
            {
                "task_id": 3,
                "text": "Write a python function to identify non-prime numbers.",
                "code": "import math\r\ndef is_not_prime(n):\r\n    result = False\r\n    for i in range(2,int(math.sqrt(n)) + 1):\r\n        if n % i == 0:\r\n            result = True\r\n    return result",
                "test_list": [
                    "assert is_not_prime(2) == False",
                    "assert is_not_prime(10) == True",
                    "assert is_not_prime(35) == True",
                ],
                "test_setup_code": "",
                "challenge_test_list": [],
            },
            {
                "task_id": 4,
                "text": "Write a function to find the largest integers from a given list of numbers using heap queue algorithm.",
                "code": "import heapq as hq\r\ndef heap_queue_largest(nums,n):\r\n  largest_nums = hq.nlargest(n, nums)\r\n  return largest_nums",
                "test_list": [
                    "assert heap_queue_largest( [25, 35, 22, 85, 14, 65, 75, 22, 58],3)==[85, 75, 65] ",
                    "assert heap_queue_largest( [25, 35, 22, 85, 14, 65, 75, 22, 58],2)==[85, 75] ",
                    "assert heap_queue_largest( [25, 35, 22, 85, 14, 65, 75, 22, 58],5)==[85, 75, 65, 58, 35]",
                ],
                "test_setup_code": "",
                "challenge_test_list": [],
            },
        ],
    },
}
"""Hub id -> split -> docs."""
